-- name: known_range
-- first_slot: the first that was read; a snapshot is of the end of its slot, whose transactions were not
select k.from_slot, k.to_slot,
       k.from_slot + exists (select from ledger.opening_row o where o.mint = $1 and o.slot = k.from_slot)::int as first_slot
from ledger.known_range($1) k

-- name: covered_to
select coalesce(max(to_slot), -1)::bigint from ledger.coverage where mint = $1

-- name: supply_at
select ledger.supply_at($1, $2)

-- name: withheld_at
select ledger.withheld_at($1, $2)

-- name: balances_at
select account, owner, amount, frozen from ledger.balances_at($1, $2)

-- name: signatures
select signature, min(slot) as slot, min(tx_index) as tx_index, bool_or(moves) as moves
from (
    select e.signature, e.slot, e.tx_index, true as moves from ledger.events e
    where e.mint = $1 and e.slot between $2 and $3
    union all
    select c.signature, c.slot, c.tx_index, false from ledger.controls c
    where c.mint = $1 and c.slot between $2 and $3 and c.signature <> ''
    union all
    select q.signature, q.slot, q.tx_index, false from ledger.quarantine q
    where q.mint = $1 and q.slot between $2 and $3
) known
group by signature

-- name: evidence
select sha256, body from ledger.evidence_row
where slot = $1 and tx_index = $2 and encoding = 'json' and octet_length(body) > 0 order by batch desc limit 1

-- name: multiplier_state
select multiplier, effective_seconds, new_multiplier, rule from ledger.multiplier_state_at($1, $2)
