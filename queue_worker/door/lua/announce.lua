-- A worker says that it lives. Its runs root is alive with it.
-- writes  worker:<lane> workers roots
-- args    card: {...}, card_text: the same as JSON

seen(A.card, A.card_text)
