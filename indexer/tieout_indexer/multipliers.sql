-- name: declared
select from_slot, reason, declared_by from ledger.multiplier_rules order by batch desc limit 1
