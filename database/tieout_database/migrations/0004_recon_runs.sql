-- What the reconciliation found, run by run, append-only. A run that says the same as an earlier
-- one stores only its own row and points to the content of the earlier (content_run).

set local lock_timeout = '30s';
set local statement_timeout = '10min';

create table recon.run_row (
    run bigint primary key check (run > 0),
    ran_at timestamptz not null default clock_timestamp(),
    as_of_slot bigint not null check (as_of_slot >= 0),
    as_of_time timestamptz,
    known_batch bigint not null,
    known_load bigint not null,
    rules text collate "C" not null,
    verdict text collate "C" not null check (verdict in ('ties_out', 'over_backed', 'under_backed', 'incomplete')),
    breaks integer not null check (breaks >= 0),
    digest bytea not null check (octet_length(digest) = 32),
    content_run bigint not null references recon.run_row (run),
    -- the canonical JSON (RFC 8785) whose SHA-256 is the digest; null where content_run has it
    body text,
    check ((body is null) = (content_run <> run))
);
create index run_row_digest on recon.run_row (digest, run);

create table recon.result_row (
    run bigint not null references recon.run_row (run),
    symbol text collate "C" not null,
    mint text collate "C" not null,
    isin text collate "C" not null,
    verdict text collate "C" not null check (verdict in ('ties_out', 'over_backed', 'under_backed', 'incomplete')),
    supply numeric,
    inventory numeric,
    in_transit numeric,
    circulating numeric,
    owed_returns numeric,
    owed_forced numeric,
    liability_raw numeric,
    multiplier_bits bytea check (octet_length(multiplier_bits) = 8),
    multiplier numeric,
    liability_shares numeric,
    custody_shares numeric,
    difference_shares numeric,
    tolerance_short numeric,
    tolerance_over numeric,
    reasons jsonb not null,
    primary key (run, symbol),
    -- unknown is never zero, and never a verdict
    check (verdict = 'incomplete' or (liability_shares is not null and custody_shares is not null)),
    check (supply is null or supply = inventory + in_transit + circulating)
);

create table recon.custody_row (
    run bigint not null,
    symbol text collate "C" not null,
    custodian text collate "C" not null,
    account text collate "C" not null,
    shares numeric,
    as_of timestamptz,
    load bigint,
    primary key (run, symbol, custodian, account),
    foreign key (run, symbol) references recon.result_row (run, symbol)
);

-- A movement that changes the quantity outside the issuer's wallets. position parts are null
-- for a change of role, which is the registry's doing and no transaction's.
create table recon.crossing_row (
    run bigint not null,
    symbol text collate "C" not null,
    crossing text collate "C" not null,
    ordinal integer not null,
    slot bigint,
    tx_index integer,
    step integer,
    child integer,
    signature text collate "C",
    at timestamptz,
    kind text collate "C" not null,
    direction text collate "C" not null check (direction in ('out', 'in')),
    raw numeric not null check (raw > 0),
    shares numeric,
    counterparty text collate "C",
    cause text collate "C" not null,
    owed numeric not null check (owed >= 0),
    primary key (run, symbol, crossing),
    foreign key (run, symbol) references recon.result_row (run, symbol)
);

-- Room for 1-n and n-1: a match is one (crossing, order) pair with the quantity allocated to it.
create table recon.match_row (
    run bigint not null,
    symbol text collate "C" not null,
    crossing text collate "C" not null,
    ordinal integer not null,
    request_id text collate "C",
    rule text collate "C" not null,
    rule_version integer not null,
    status text collate "C" not null check (status in ('exact', 'derived')),
    raw numeric not null check (raw > 0),
    -- the earlier return that this release gives back
    refunds text collate "C",
    primary key (run, symbol, crossing, ordinal),
    foreign key (run, symbol, crossing) references recon.crossing_row (run, symbol, crossing)
);

create table recon.finding_row (
    run bigint not null references recon.run_row (run),
    id text collate "C" not null,
    key text collate "C" not null,
    code text collate "C" not null,
    name text collate "C" not null,
    severity text collate "C" not null check (severity in ('break', 'notice')),
    symbol text collate "C" not null,
    raw numeric,
    shares numeric,
    at timestamptz,
    signature text collate "C",
    request_id text collate "C",
    summary text not null,
    details jsonb not null,
    primary key (run, id)
);
create index finding_row_id on recon.finding_row (id, run);

do $$
declare relation text;
begin
    foreach relation in array array['run_row', 'result_row', 'custody_row', 'crossing_row', 'match_row', 'finding_row'] loop
        call recon.make_append_only(('recon.' || relation)::regclass);
    end loop;
end $$;

create view recon.runs as
select run, ran_at, as_of_slot, as_of_time, known_batch, known_load, rules, verdict, breaks,
       encode(digest, 'hex') as digest, content_run
from recon.run_row;

create view recon.results as
select r.run, x.symbol, x.mint, x.isin, x.verdict, x.supply, x.inventory, x.in_transit, x.circulating, x.owed_returns,
       x.owed_forced, x.liability_raw, x.multiplier_bits, x.multiplier, x.liability_shares, x.custody_shares,
       x.difference_shares, x.tolerance_short, x.tolerance_over, x.reasons
from recon.run_row r join recon.result_row x on x.run = r.content_run;

create view recon.custody as
select r.run, c.symbol, c.custodian, c.account, c.shares, c.as_of, c.load
from recon.run_row r join recon.custody_row c on c.run = r.content_run;

create view recon.crossings as
select r.run, c.symbol, c.crossing, c.slot, c.tx_index, c.step, c.child, c.signature, c.at, c.kind, c.direction, c.raw,
       c.shares, c.counterparty, c.cause, c.owed, c.ordinal
from recon.run_row r join recon.crossing_row c on c.run = r.content_run;

create view recon.matches as
select r.run, m.symbol, m.crossing, m.request_id, m.rule, m.rule_version, m.status, m.raw, m.refunds,
       c.slot, c.tx_index, c.step, c.child, c.signature
from recon.run_row r
join recon.match_row m on m.run = r.content_run
join recon.crossing_row c on c.run = m.run and c.symbol = m.symbol and c.crossing = m.crossing;

create view recon.findings as
select r.run, f.id, f.key, f.code, f.name, f.severity, f.symbol, f.raw, f.shares, f.at, f.signature, f.request_id,
       f.summary, f.details
from recon.run_row r join recon.finding_row f on f.run = r.content_run;

create view recon.breaks as
select run, id, key, code, name, symbol, raw, shares, at, signature, request_id, summary, details
from recon.findings where severity = 'break';
