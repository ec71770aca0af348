-- What the business says: the registry, custodian statements, orders. Each accepted file is one
-- load; loads are numbered without gaps in commit order, so "known at load 17" is the same set of
-- rows for ever. Nothing is updated: a later load supersedes, the older one stays.

set local lock_timeout = '30s';
set local statement_timeout = '10min';

create schema recon;

create function recon.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'recon.% is append-only: % refused', tg_table_name, lower(tg_op)
        using errcode = 'restrict_violation',
              hint = 'load a corrected file: it supersedes the older one, which stays';
end $$;

create procedure recon.make_append_only(relation regclass) language plpgsql as $$
begin
    execute format('create trigger refuse_truncate before truncate on %s execute function recon.refuse_change()', relation);
    execute format('create trigger refuse_change before update or delete on %s for each row execute function recon.refuse_change()', relation);
end $$;

-- One row an accepted file. kind may grow: trades, corporate actions, other chains.
create table recon.load_row (
    load bigint primary key check (load > 0),
    kind text collate "C" not null,
    name text not null,
    sha256 bytea not null check (octet_length(sha256) = 32),
    -- of what the file means: for a registry, two files that differ in comments alone are the same
    content_sha256 bytea not null check (octet_length(content_sha256) = 32),
    rows integer not null check (rows >= 0),
    recorded_at timestamptz not null default clock_timestamp(),
    body bytea not null
);
-- A registry may return to an earlier content; a statement or order file is taken once.
create unique index load_row_file on recon.load_row (kind, sha256) where kind <> 'registry';

-- A registry load is the whole registry: its rows stand until the next registry load.
create table recon.instrument_row (
    load bigint not null references recon.load_row (load),
    symbol text collate "C" not null,
    mint text collate "C" not null,
    isin text collate "C" not null,
    decimals smallint not null check (decimals between 0 and 255),
    name text not null,
    buffer_shares numeric not null check (buffer_shares >= 0),
    valid_from timestamptz,
    valid_to timestamptz,
    primary key (load, symbol),
    unique (load, mint)
);

create table recon.wallet_row (
    load bigint not null references recon.load_row (load),
    ordinal integer not null,
    address text collate "C" not null,
    kind text collate "C" not null check (kind in ('owner', 'account')),
    role text collate "C" not null,
    instrument text collate "C" not null,
    valid_from timestamptz not null,
    valid_to timestamptz,
    source text not null,
    evidence text,
    primary key (load, ordinal),
    check (valid_to is null or valid_to > valid_from)
);

create table recon.custodian_row (
    load bigint not null references recon.load_row (load),
    custodian text collate "C" not null,
    name text not null,
    currency text collate "C",
    quantum numeric not null check (quantum >= 0),
    max_age_hours integer not null check (max_age_hours > 0),
    primary key (load, custodian)
);

create table recon.custody_account_row (
    load bigint not null references recon.load_row (load),
    custodian text collate "C" not null,
    account text collate "C" not null,
    instruments text[] not null,
    valid_from timestamptz,
    valid_to timestamptz,
    primary key (load, custodian, account)
);

-- The statement is (custodian, account, as_of, basis): its rows of the highest load count, all of
-- the others are superseded. A row that a statement lacks is unknown, not zero.
create table recon.position_row (
    load bigint not null references recon.load_row (load),
    line integer not null,
    custodian text collate "C" not null,
    account text collate "C" not null,
    isin text collate "C" not null,
    quantity numeric not null check (quantity >= 0),
    basis text collate "C" not null check (basis in ('settled', 'trade_date')),
    as_of timestamptz not null,
    primary key (load, line),
    unique (load, custodian, account, isin, basis, as_of)
);
create index position_row_statement on recon.position_row (custodian, account, basis, as_of, load);

-- Versions of an order; the highest load counts.
create table recon.order_row (
    load bigint not null references recon.load_row (load),
    line integer not null,
    request_id text collate "C" not null,
    side text collate "C" not null check (side in ('issue', 'redeem')),
    mint text collate "C" not null,
    shares numeric check (shares > 0),
    raw ledger.u64 check (raw > 0),
    status text collate "C" not null check (status in ('pending', 'completed', 'rejected')),
    wallet text collate "C",
    signature text collate "C",
    created_at timestamptz not null,
    settled_at timestamptz,
    primary key (load, line),
    unique (load, request_id),
    check ((shares is null) <> (raw is null))
);
create index order_row_request on recon.order_row (request_id, load);

do $$
declare relation text;
begin
    foreach relation in array array['load_row', 'instrument_row', 'wallet_row', 'custodian_row', 'custody_account_row',
        'position_row', 'order_row'] loop
        call recon.make_append_only(('recon.' || relation)::regclass);
    end loop;
end $$;

create view recon.loads as
select load, kind, name, encode(sha256, 'hex') as sha256, rows, recorded_at from recon.load_row;

create view recon.instruments as
select symbol, mint, isin, decimals, name, buffer_shares, valid_from, valid_to, load
from recon.instrument_row where load = (select max(load) from recon.load_row where kind = 'registry');

create view recon.wallets as
select address, kind, role, instrument, valid_from, valid_to, source, evidence, load
from recon.wallet_row where load = (select max(load) from recon.load_row where kind = 'registry');

create view recon.custodians as
select custodian, name, currency, quantum, max_age_hours, load
from recon.custodian_row where load = (select max(load) from recon.load_row where kind = 'registry');

create view recon.custody_accounts as
select custodian, account, instruments, valid_from, valid_to, load
from recon.custody_account_row where load = (select max(load) from recon.load_row where kind = 'registry');

create view recon.positions as
select p.custodian, p.account, p.isin, p.quantity, p.basis, p.as_of, p.load, p.line,
       (select min(n.load) from recon.position_row n
        where n.custodian = p.custodian and n.account = p.account and n.basis = p.basis and n.as_of = p.as_of
          and n.load > p.load) as superseded_load
from recon.position_row p;

create view recon.orders as
select distinct on (request_id) request_id, side, mint, shares, raw, status, wallet, signature, created_at, settled_at, load, line
from recon.order_row order by request_id, load desc;

create view recon.order_versions as
select request_id, side, mint, shares, raw, status, wallet, signature, created_at, settled_at, load, line
from recon.order_row;
