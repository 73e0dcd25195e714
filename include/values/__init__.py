"""One cell's value: dates, phones, e-mails, characters, and what programs do to them."""
