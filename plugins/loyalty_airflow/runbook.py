"""What becomes of a file's run, and what to do at 3 a.m.: the part of an import's runbook that all types share."""

RUNBOOK = """
| job | run | meaning |
|---|---|---|
| `completed` | green | every row was loaded, or changes nothing (`unchanged`) |
| `completed_with_rejects`, some rejected | green | the others were loaded; the rejected-rows file says what is wrong |
| …, mostly rejected | red in `close_job` | over half of the rows were rejected, the rest was loaded |
| nothing loaded | red in `close_job` | no row could be loaded |
| empty | green | a header without rows |
| `duplicate` | green, middle skipped | the same content was the last to be imported: nothing to do |
| dry run | green, `load_rows` skipped | the load was rolled back; the counts are in the run's note, nobody is alarmed |
| `awaiting_review` | running | a person is asked under *Required actions*: launch, choose other columns, or reject |
| `cancelled` | green, `load_rows` skipped | rejected in its review, or not answered in time; the file is archived |
| `refused` | red | the file as a whole can't be imported; `close_job` says why, the file is in the quarantine |
| `failed` | red | an outage outlasted the retries, a person ended the run, or a defect: see the first red task |
| none | skipped | another run has the file in hand |

A person is asked when the settings say so, when columns seem to be exchanged, or when over half of at least 100 rows
would be rejected. Nothing is loaded before the answer.

**At 3 a.m.** A *refused* file and *rejected* rows are the sender's to correct: forward the reason or the rejected-rows
file. Corrected, the file is simply dropped again.
After a *failed* run nothing is loaded unless `load_rows` is green. See that warehouse and storage answer, then
**clear** the first red task with everything downstream.
To run a refused file again with other settings, correct the folder's `_settings.yaml` and clear `take_file` with
everything downstream. Clearing is safe at every task: rows that are loaded stay as they are, only the reports are
written again.
"""
