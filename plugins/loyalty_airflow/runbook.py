"""What becomes of a file's run, and what to do at 3 a.m.: the part of an import's runbook that all types share."""

RUNBOOK = """
| outcome | run | mail | meaning |
|---|---|---|---|
| `loaded` | green | no | every row was loaded, or changes nothing (`unchanged`) |
| `some_rejected` | green | yes | the others were loaded; the rejected-rows file says what is wrong |
| `mostly_rejected` | red in `close_job`, green if a person approved it | yes | over half of the rows were rejected |
| `nothing_loaded` | red in `close_job`, green if a person approved it | yes | no row could be loaded |
| `nobody_found` | green | yes | no row was rejected, and none matches a customer |
| `empty` | green | no | a header without rows |
| `duplicate` | green, middle skipped | no | the same content was the last to be imported: nothing to do |
| `awaiting_review` | running | the question | a person chooses under *Required actions*: launch, remap or reject |
| `cancelled` | green, `load_rows` skipped | if nobody answered | rejected in its review, or not answered; archived |
| `refused` | red | yes | the file as a whole can't be imported; `close_job` says why, the file is in the quarantine |
| `failed` | red | yes | an outage outlasted the retries, a person ended the run, or a defect: see the first red task |

What isn't rejected of a `mostly_rejected` file is loaded. A *dry run* has the outcome that the load would have; it is
green unless it is refused or fails, and no mail is sent. Its load was rolled back, `load_rows` is skipped, and the
counts are in the run's note. A *skipped* run has no job: another run has the file in hand.

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
