-- Queries of the pages and the API: published views only.

-- name: latest_run
select max(run) from recon.runs

-- name: run_at
-- The last run whose cut-off lies at or before a slot or an instant.
select max(run) from recon.runs
where ($1::bigint is null or as_of_slot <= $1) and ($2::timestamptz is null or as_of_time <= $2)

-- name: tip
select s.slot, s.block_time,
       (select count(*) from ledger.parked) as parked,
       (select count(*) from ledger.quarantine) as quarantined,
       (select count(*) from ledger.findings where closed_at is null) as findings
from ledger.slots s order by s.slot desc limit 1

-- name: tracked
select t.mint, t.from_slot, t.opening, max(c.to_slot) as to_slot
from ledger.tracked t left join ledger.coverage c using (mint) group by t.mint, t.from_slot, t.opening order by t.mint

-- name: history
-- One point a run that said something new, the newest first.
select r.run, r.as_of_slot, r.as_of_time, x.verdict, x.liability_shares, x.custody_shares, x.difference_shares
from recon.runs r join recon.results x on x.run = r.run
where x.symbol = $1 and r.content_run = r.run and ($2::bigint is null or r.run < $2)
order by r.run desc limit $3

-- name: events
select slot, block_time, tx_index, step, child, signature, kind, mint, source, source_owner, destination,
       destination_owner, authority_role, amount, fee, memo
from ledger.events
where mint = any($1::text[])
  and ($2::bigint is null or (slot, tx_index, step, child) < ($2, $3::integer, $4::integer, $5::integer))
order by slot desc, tx_index desc, step desc, child desc limit $6

-- name: multipliers
select mint, effective_at, announced_slot, bits, value, superseded_slot, signature
from ledger.multipliers where mint = any($1::text[]) order by announced_slot, tx_index, step, child

-- name: events_of_transaction
select slot, block_time, tx_index, step, child, path, signature, program, kind, mint, source, source_owner, destination,
       destination_owner, authority, authority_role, amount, fee, memo, batch
from ledger.events where signature = $1 order by tx_index, step, child limit 1000

-- name: controls_of_transaction
select slot, block_time, tx_index, step, child, path, kind, mint, account, authority, details, batch
from ledger.controls where signature = $1 order by tx_index, step, child limit 1000

-- name: proof
select p.status, e.encoding, e.endpoint, encode(e.sha256, 'hex') as sha256, octet_length(e.body) as bytes
from ledger.proofs p left join ledger.evidence e using (slot, tx_index)
where p.slot = $1 and p.tx_index = $2 limit 1

-- name: matches_of_transaction
-- $3: the transaction's slots; of a large run no other lines are read.
select x.symbol, e.line ->> 'crossing' as crossing, m.line ->> 'request_id' as request_id, m.line ->> 'rule' as rule,
       m.line ->> 'status' as status, (m.line ->> 'raw')::numeric as raw
from recon.run_lines x
cross join lateral jsonb_array_elements(x.lines::jsonb) as e(line)
cross join lateral jsonb_array_elements(e.line -> 'matches') as m(line)
where x.run = $1 and x.from_slot <= any($3::bigint[]) and x.to_slot >= any($3::bigint[]) and e.line ->> 'signature' = $2
union all
-- a run from before it kept lines
select m.symbol, m.crossing, m.request_id, m.rule, m.status, m.raw
from recon.matches m
where m.run = $1 and m.signature = $2 and not exists (select from recon.run_lines x where x.run = $1)
order by symbol, crossing limit 100

-- name: account
select mint, account, owner, amount, frozen, opened_slot, closed_slot, last_slot
from ledger.balances where account = $1 or owner = $1 order by mint, account limit 200

-- name: wallet_roles
select address, role, instrument, valid_from, valid_to, source from recon.wallets where address = any($1::text[])
order by valid_from

-- name: wallets
select address, kind, role, instrument, valid_from, valid_to, source, evidence, venue from recon.wallets
where instrument in ('*', $1) order by address, kind, role, valid_from

-- name: statements
select l.load, l.name, l.sha256, l.recorded_at, l.kind, l.format from recon.loads l
where ($1::bigint is null or l.load < $1) order by l.load desc limit $2

-- name: reports
select r.report, r.made_at, r.as_of_slot, r.as_of_time, r.verdict, r.sha256, r.previous, r.run
from recon.reports r where ($1::bigint is null or r.report < $1) order by r.report desc limit $2

-- name: report
select r.report, r.made_at, r.sha256, r.body, r.run from recon.reports r where r.report = $1

-- name: signatures
select report, public_key, signature from recon.report_signatures where report = any($1::bigint[]) order by public_key

-- name: practitioners
select statement, report, public_key, signature, body, actor, attached_at, outside
from recon.practitioner_statements where report = any($1::bigint[]) order by report, statement

-- name: locked_periods
-- The newest first, each with who proposed and who signed it, and its report where one was made.
select p.period, p.from_at, p.to_at, p.locked_at, p.content, m.actor as proposed_by, l.actor as signed_by,
       (select min(r.report) from recon.reports r where r.lock = p.locked) as report
from recon.periods p
join recon.period_actions l on l.action = p.locked
join recon.period_actions m on m.action = l.proposal
order by p.to_at desc limit $1

-- name: schema
select max(number) from public.tieout_migration

-- name: last_batch
select max(batch) from ledger.batches
