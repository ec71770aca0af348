-- name: open
select audit, subject, mint, slot, expected, found from ledger.findings where closed_at is null
