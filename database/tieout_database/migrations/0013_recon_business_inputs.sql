-- What the business says beside statements, orders and trades: corporate actions, other networks, bridge
-- messages, custody movements, venues' ledgers; and calendars, venues and limits in the registry.

set local lock_timeout = '30s';
set local statement_timeout = '10min';

-- The registry grows.
alter table recon.instrument_row add column chains text[] not null default '{}';
alter table recon.instrument_row add column chain_age_hours_max integer not null default 24;
alter table recon.instrument_row add column bridge_hours_max integer not null default 24;
alter table recon.instrument_row add column late_days_max integer not null default 2;
alter table recon.instrument_row add column redemption_days_max integer not null default 5;
alter table recon.instrument_row add column large_share numeric;
alter table recon.instrument_row add column inventory_authorised boolean not null default false;
alter table recon.instrument_row add column calendar text collate "C";
alter table recon.wallet_row add column venue text collate "C";
alter table recon.custodian_row add column calendar text collate "C";

create table recon.calendar_row (
    load bigint not null references recon.load_row (load),
    calendar text collate "C" not null,
    closed date[] not null,
    weekend text[] not null,
    primary key (load, calendar)
);

create table recon.venue_row (
    load bigint not null references recon.load_row (load),
    venue text collate "C" not null,
    name text not null,
    primary key (load, venue)
);

-- Orders: an authorisation to mint into inventory, and what is kept back as a fee.
-- squawk-ignore ban-drop-constraint
alter table recon.order_row drop constraint order_row_side_check;
-- squawk-ignore constraint-missing-not-valid
alter table recon.order_row add constraint order_row_side_check check (side in ('issue', 'redeem', 'inventory'));
alter table recon.order_row add column fee numeric;
alter table recon.trade_row add column action_id text collate "C";

-- Versions of a corporate action by its id; the highest load counts.
create table recon.action_row (
    load bigint not null references recon.load_row (load),
    line integer not null,
    action_id text collate "C" not null,
    isin text collate "C" not null,
    kind text collate "C" not null,
    status text collate "C" not null,
    announced_at timestamptz not null,
    ex_date date,
    record_date date,
    pay_date date,
    effective_at timestamptz,
    -- new multiplier divided by old, as a decimal or n/d: a third has no decimals
    factor text,
    cash_rate numeric,
    currency text collate "C",
    withholding numeric,
    new_isin text collate "C",
    primary key (load, line),
    unique (load, action_id)
);
create index action_row_key on recon.action_row (action_id, load);

-- What a network held at an instant; of the same (mint, network, as_of) the highest load counts.
create table recon.chain_reading_row (
    load bigint not null references recon.load_row (load),
    line integer not null,
    mint text collate "C" not null,
    network text collate "C" not null,
    unit text collate "C" not null check (unit in ('raw', 'adjusted')),
    quantity numeric not null check (quantity >= 0),
    issuer_held numeric not null check (issuer_held between 0 and quantity),
    decimals integer,
    multiplier text,
    block text,
    as_of timestamptz not null,
    source text not null,
    -- of an issuer-wide answer: the shares that it says are in custody
    held numeric,
    primary key (load, line),
    unique (load, mint, network, as_of)
);
create index chain_reading_row_key on recon.chain_reading_row (mint, network, as_of, load);

create table recon.bridge_message_row (
    load bigint not null references recon.load_row (load),
    line integer not null,
    message_id text collate "C" not null,
    mint text collate "C" not null,
    direction text collate "C" not null check (direction in ('out', 'in')),
    network text collate "C" not null,
    raw ledger.u64 not null check (raw > 0),
    signature text collate "C",
    remote_reference text collate "C",
    sent_at timestamptz not null,
    delivered_at timestamptz,
    primary key (load, line),
    unique (load, message_id)
);
create index bridge_message_row_key on recon.bridge_message_row (message_id, load);

create table recon.custody_movement_row (
    load bigint not null references recon.load_row (load),
    line integer not null,
    custodian text collate "C" not null,
    account text collate "C" not null,
    isin text collate "C" not null,
    quantity numeric not null,
    kind text collate "C" not null,
    reference text collate "C" not null,
    request_id text collate "C",
    action_id text collate "C",
    traded_at timestamptz,
    settles_on date,
    settled_at timestamptz,
    cash numeric,
    currency text collate "C",
    primary key (load, line),
    unique (load, custodian, reference),
    check ((cash is null) = (currency is null))
);
create index custody_movement_row_key on recon.custody_movement_row (custodian, reference, load);

-- Periods, after from_at and up to to_at, of which every movement of an account is known.
create table recon.movement_span_row (
    load bigint not null references recon.load_row (load),
    custodian text collate "C" not null,
    account text collate "C" not null,
    from_at timestamptz not null,
    to_at timestamptz not null,
    primary key (load, custodian, account),
    check (from_at < to_at)
);

-- A venue's ledger is whole: of the same (venue, mint, as_of) the rows of the highest load count.
create table recon.venue_line_row (
    load bigint not null references recon.load_row (load),
    line integer not null,
    venue text collate "C" not null,
    mint text collate "C" not null,
    kind text collate "C" not null,
    account text collate "C",
    quantity numeric not null,
    unit text collate "C" not null check (unit in ('raw', 'shares')),
    as_of timestamptz not null,
    primary key (load, line)
);
create index venue_line_row_key on recon.venue_line_row (venue, mint, as_of, load);

do $$
declare relation text;
begin
    foreach relation in array array['calendar_row', 'venue_row', 'action_row', 'chain_reading_row',
        'bridge_message_row', 'custody_movement_row', 'movement_span_row', 'venue_line_row'] loop
        call recon.make_append_only(('recon.' || relation)::regclass);
    end loop;
end $$;

create or replace view recon.instruments as
select symbol, mint, isin, decimals, name, buffer_shares, valid_from, valid_to, load, chains, chain_age_hours_max,
       bridge_hours_max, late_days_max, redemption_days_max, large_share, inventory_authorised, calendar
from recon.instrument_row where load = (select max(load) from recon.load_row where kind = 'registry');

create or replace view recon.wallets as
select address, kind, role, instrument, valid_from, valid_to, source, evidence, load, venue
from recon.wallet_row where load = (select max(load) from recon.load_row where kind = 'registry');

create or replace view recon.custodians as
select custodian, name, currency, quantum, max_age_hours, load, calendar
from recon.custodian_row where load = (select max(load) from recon.load_row where kind = 'registry');

create view recon.calendars as
select calendar, closed, weekend, load
from recon.calendar_row where load = (select max(load) from recon.load_row where kind = 'registry');

create view recon.venues as
select venue, name, load
from recon.venue_row where load = (select max(load) from recon.load_row where kind = 'registry');

create or replace view recon.orders as
select distinct on (request_id) request_id, side, mint, shares, raw, status, wallet, signature, created_at, settled_at,
       load, line, fee
from recon.order_row order by request_id, load desc;

create or replace view recon.order_versions as
select request_id, side, mint, shares, raw, status, wallet, signature, created_at, settled_at, load, line, fee
from recon.order_row;

create or replace view recon.trades as
select distinct on (custodian, reference)
       custodian, account, isin, reference, side, quantity, traded_at, settles_on, status, status_at, load, line, action_id
from recon.trade_row order by custodian, reference, load desc;

create view recon.actions as
select distinct on (action_id)
       action_id, isin, kind, status, announced_at, ex_date, record_date, pay_date, effective_at, factor, cash_rate,
       currency, withholding, new_isin, load, line
from recon.action_row order by action_id, load desc;

create view recon.chain_readings as
select distinct on (mint, network, as_of)
       mint, network, unit, quantity, issuer_held, decimals, multiplier, block, as_of, source, held, load, line
from recon.chain_reading_row order by mint, network, as_of, load desc;

create view recon.bridge_messages as
select distinct on (message_id)
       message_id, mint, direction, network, raw, signature, remote_reference, sent_at, delivered_at, load, line
from recon.bridge_message_row order by message_id, load desc;

create view recon.custody_movements as
select distinct on (custodian, reference)
       custodian, account, isin, quantity, kind, reference, request_id, action_id, traded_at, settles_on, settled_at,
       cash, currency, load, line
from recon.custody_movement_row order by custodian, reference, load desc;

create view recon.movement_spans as select custodian, account, from_at, to_at, load from recon.movement_span_row;

create view recon.venue_lines as
select v.venue, v.mint, v.kind, v.account, v.quantity, v.unit, v.as_of, v.load, v.line,
       (select min(n.load) from recon.venue_line_row n
        where n.venue = v.venue and n.mint = v.mint and n.as_of = v.as_of and n.load > v.load) as superseded_load
from recon.venue_line_row v;

-- What is in quarantine for some mints up to a slot, as known at a batch.
create function ledger.quarantine_known(mints text[], to_slot bigint, known_batch bigint) returns table (
    mint text, slot bigint, tx_index integer, step integer, child integer, signature text, path text, reason text
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select q.mint, q.slot, q.tx_index, q.step, q.child, q.signature, q.path, q.reason
    from ledger.quarantine_row q
    where q.mint = any ($1) and q.slot <= $2 and q.batch <= $3
      and not ledger.is_retracted('quarantine', q.slot, q.tx_index, q.step, q.child, q.mint, '', q.batch, $3)
    order by q.slot, q.tx_index, q.step, q.child
$$;

-- What each owner holds of a mint at a slot over all accounts, by the node's own figures; owner null: not known.
create function ledger.holders_known(mint text, at_slot bigint, known_batch bigint) returns table (
    owner text, amount numeric
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select last.post_owner, sum(last.post_amount)
    from (
        select distinct on (t.account) t.account, t.post_owner, t.post_amount::numeric as post_amount
        from ledger.touch_row t
        where t.mint = $1 and t.slot <= $2 and t.batch <= $3
          and not ledger.is_retracted('touch', t.slot, t.tx_index, 0, 0, t.mint, t.account, t.batch, $3)
        order by t.account, t.slot desc, t.tx_index desc) last
    where last.post_amount > 0
    group by last.post_owner
    order by last.post_owner collate "C"
$$;

-- What is withheld as a fee or hidden as confidential of a mint at a slot; null where the mint is not known.
create function ledger.unseen_known(mint text, at_slot bigint, known_batch bigint) returns numeric
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce(sum(p.delta), 0) from ledger.postings_known($1, $2, $3) p
    where p.account in ('withheld', 'confidential')
$$;
