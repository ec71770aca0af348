-- name: batches
select batch, decoder_version, prev_hash, content_hash, hash from ledger.batch_row where batch > $1 order by batch

-- name: wrong_marks
-- What sums up coverage, taken after batch $1: each against the mark before it and the rows since; then rows that a
-- mark passed over; then, the first time, what was summed up of older versions' rows; then cohorts added to later.
select 'mark of cohort ' || k.cohort || ' at batch ' || k.batch as subject,
       (coalesce(p.ranges, '{}') + coalesce(n.ranges, '{}'))::text as expected, k.ranges::text as found
from ledger.coverage_mark_row k
left join lateral (
    select m.batch, m.ranges from ledger.coverage_mark_row m where m.cohort = k.cohort and m.batch < k.batch
    order by m.batch desc limit 1) p on true
left join lateral (
    select range_agg(int8range(r.from_slot, r.to_slot, '[]')) as ranges from ledger.cohort_coverage_row r
    where r.cohort = k.cohort and r.batch > coalesce(p.batch, 0) and r.batch <= k.batch) n on true
where k.batch > $1 and k.ranges <> coalesce(p.ranges, '{}') + coalesce(n.ranges, '{}')
union all
select 'cohort ' || r.cohort || ' at batch ' || r.batch, 'a mark', 'none'
from ledger.cohort_coverage_row r
where r.batch > $1 and r.batch <= (select max(k.batch) from ledger.coverage_mark_row k)
  and not exists (select from ledger.coverage_mark_row k where k.cohort = r.cohort and k.batch >= r.batch)
union all
select 'mark of ' || b.mint || ' at batch ' || b.batch, coalesce(n.ranges, '{}')::text, b.ranges::text
from ledger.coverage_before_row b
left join lateral (
    select range_agg(int8range(c.from_slot, c.to_slot, '[]')) as ranges from ledger.coverage_row c
    where c.mint = b.mint and c.batch <= b.batch) n on true
where $1 = 0 and b.ranges <> coalesce(n.ranges, '{}')
union all
select 'cohort ' || m.cohort, 'one batch', 'batches ' || min(m.batch) || ' to ' || max(m.batch)
from ledger.cohort_row m group by m.cohort having min(m.batch) < max(m.batch) and max(m.batch) > $1
order by 1

-- name: evidence
select slot, tx_index, sha256, body from ledger.evidence_row where batch = $1 and octet_length(body) > 0
order by slot, tx_index

-- name: supply
select supply from ledger.supply where mint = $1

-- name: balance_sum
select sum(amount) from ledger.balances where mint = $1

-- name: pseudo_sums
select p.account, sum(p.delta) as total
from ledger.postings_known($1, (select max(to_slot) from ledger.coverage where mint = $1)) p
where p.account in ('withheld', 'confidential')
group by p.account
