-- What runs found of the past of each instrument, kept so that the figures of any slot are a look-up. Derived: the
-- newest run's replaces the last one's, and a run makes it again. Beside it: orders are found by their mint.

set local lock_timeout = '30s';
set local statement_timeout = '1h';

create index order_row_mint on recon.order_row (mint, load);

-- One row an instrument: which run found it, from what was known. It holds to as_of_slot, and beyond it until
-- something of the mint is new; never from until_at on.
create table recon.history_head (
    symbol text collate "C" primary key,
    mint text collate "C" not null,
    run bigint not null references recon.run_row (run),
    rules text collate "C" not null,
    registry_load bigint not null,
    known_load bigint not null,
    known_batch bigint not null,
    as_of_slot bigint not null,
    as_of_time timestamptz not null,
    until_at timestamptz
);

-- Its steps, packed: each six little-endian integers of eight bytes (instant in microseconds since 1970, slot, and
-- raw: supply, outside, owed of what came back, owed of what was taken by force). from_micros, from_slot: the first's.
create table recon.history_chunk (
    symbol text collate "C" not null references recon.history_head (symbol) on delete cascade,
    from_micros bigint not null,
    from_slot bigint not null,
    steps bytea not null check (octet_length(steps) % 48 = 0 and octet_length(steps) > 0),
    primary key (symbol, from_micros, from_slot)
);

-- What runs say of single crossings, in chunks of their canonical JSON: a chunk that many runs say alike is stored once.
create table recon.lines_row (
    sha256 bytea primary key check (octet_length(sha256) = 32),
    -- an array of objects, one a crossing
    lines text not null
);

-- Of which chunks a run's lines consist, in order: 256 crossings each but for the last. Slots: the least and the
-- greatest in it, null where no transaction made any of them.
create table recon.run_lines_row (
    run bigint not null references recon.run_row (run),
    symbol text collate "C" not null,
    ordinal integer not null check (ordinal >= 0),
    lines integer not null check (lines > 0),
    from_slot bigint,
    to_slot bigint,
    sha256 bytea not null references recon.lines_row (sha256),
    primary key (run, symbol, ordinal)
);

do $$
declare relation text;
begin
    foreach relation in array array['lines_row', 'run_lines_row'] loop
        call recon.make_append_only(('recon.' || relation)::regclass);
    end loop;
end $$;

create view recon.run_lines as
select r.run, x.symbol, x.ordinal, x.lines as count, x.from_slot, x.to_slot, l.lines
from recon.run_row r join recon.run_lines_row x on x.run = r.content_run join recon.lines_row l using (sha256);

-- Runs from before have their rows, later ones their lines.
create or replace view recon.crossings as
select r.run, c.symbol, c.crossing, c.slot, c.tx_index, c.step, c.child, c.signature, c.at, c.kind, c.direction, c.raw,
       c.shares, c.counterparty, c.cause, c.owed, c.ordinal
from recon.run_row r join recon.crossing_row c on c.run = r.content_run
union all
select x.run, x.symbol, e.line ->> 'crossing' collate "C", (e.line ->> 'slot')::bigint, (e.line ->> 'tx_index')::integer,
       (e.line ->> 'step')::integer, (e.line ->> 'child')::integer, e.line ->> 'signature' collate "C",
       (e.line ->> 'at')::timestamptz, e.line ->> 'kind' collate "C", e.line ->> 'direction' collate "C",
       (e.line ->> 'raw')::numeric, (e.line ->> 'shares')::numeric, e.line ->> 'counterparty' collate "C",
       e.line ->> 'cause' collate "C", (e.line ->> 'owed')::numeric, (x.ordinal * 256 + e.place - 1)::integer
from recon.run_lines x cross join lateral jsonb_array_elements(x.lines::jsonb) with ordinality as e(line, place);

create or replace view recon.matches as
select r.run, m.symbol, m.crossing, m.request_id, m.rule, m.rule_version, m.status, m.raw, m.refunds,
       c.slot, c.tx_index, c.step, c.child, c.signature
from recon.run_row r
join recon.match_row m on m.run = r.content_run
join recon.crossing_row c on c.run = m.run and c.symbol = m.symbol and c.crossing = m.crossing
union all
select x.run, x.symbol, e.line ->> 'crossing' collate "C", m.line ->> 'request_id' collate "C",
       m.line ->> 'rule' collate "C", (m.line ->> 'rule_version')::integer, m.line ->> 'status' collate "C",
       (m.line ->> 'raw')::numeric, m.line ->> 'refunds' collate "C", (e.line ->> 'slot')::bigint,
       (e.line ->> 'tx_index')::integer, (e.line ->> 'step')::integer, (e.line ->> 'child')::integer,
       e.line ->> 'signature' collate "C"
from recon.run_lines x
cross join lateral jsonb_array_elements(x.lines::jsonb) as e(line)
cross join lateral jsonb_array_elements(e.line -> 'matches') as m(line);
