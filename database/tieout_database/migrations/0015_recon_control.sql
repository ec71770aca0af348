-- Control in time: each boundary crossing as it was checked, the alerts raised about it, and what receivers
-- were told. Crossings, notices and deliveries are append-only. Three small tables are not: how far the
-- ledger was checked, how each receiver does, and how long a condition has stood.

set local lock_timeout = '30s';
set local statement_timeout = '1h';

-- A crossing of the issuer's boundary, as the registry of its load saw it. A corrected decode appends another.
create table recon.control_crossing_row (
    crossing bigint generated always as identity primary key,
    key text collate "C" not null,
    symbol text collate "C" not null,
    mint text collate "C" not null,
    slot bigint not null,
    tx_index integer not null,
    step integer not null,
    child integer not null,
    signature text collate "C" not null,
    kind text collate "C" not null,
    outward boolean not null,
    raw ledger.u64 not null,
    -- shares per raw unit at its own instant, exact; null: the multiplier was not known
    unit numeric,
    at timestamptz not null,
    account text collate "C",
    issuer_role text collate "C",
    counterparty text collate "C",
    counterparty_role text collate "C",
    memo text,
    batch bigint not null,
    ordinal integer not null,
    registry_load bigint not null references recon.load_row (load),
    checked_at timestamptz not null default clock_timestamp(),
    unique (mint, key, batch)
);
create index control_crossing_row_place on recon.control_crossing_row (slot, tx_index, step, child, mint);
create index control_crossing_row_signature on recon.control_crossing_row (signature);

-- The request ids that a crossing's memo names; an order moves tokens one way only.
create table recon.control_reference_row (
    reference text collate "C" not null,
    outward boolean not null,
    crossing bigint not null references recon.control_crossing_row (crossing),
    primary key (reference, outward, crossing)
);
create index control_reference_row_crossing on recon.control_reference_row (crossing);

-- A correction took the movement back, or a later registry says that nothing crossed.
create table recon.control_withdrawal_row (
    crossing bigint primary key references recon.control_crossing_row (crossing),
    reason text not null,
    at timestamptz not null default clock_timestamp()
);

-- One row a change of an alert; the last of a fingerprint is how it stands. Numbered without gaps in commit order.
create table recon.control_notice_row (
    notice bigint primary key check (notice > 0),
    fingerprint text collate "C" not null,
    status text collate "C" not null check (status in ('firing', 'resolved')),
    reason text collate "C" not null,
    mint text collate "C",
    crossing bigint references recon.control_crossing_row (crossing),
    labels jsonb not null,
    annotations jsonb not null,
    starts_at timestamptz not null,
    ends_at timestamptz,
    made_at timestamptz not null default clock_timestamp(),
    check ((status = 'resolved') = (ends_at is not null))
);
create index control_notice_row_fingerprint on recon.control_notice_row (fingerprint, notice);
create index control_notice_row_crossing on recon.control_notice_row (crossing, notice);
create index control_notice_row_firing on recon.control_notice_row (notice) where status = 'firing';

create table recon.control_delivery_row (
    receiver text collate "C" not null,
    notice bigint not null references recon.control_notice_row (notice),
    attempts integer not null check (attempts > 0),
    http_status integer not null,
    delivered_at timestamptz not null default clock_timestamp(),
    primary key (receiver, notice)
);

-- The order source was read again and said what it had said last: its word is that fresh.
create table recon.source_seen_row (
    load bigint not null references recon.load_row (load),
    seen_at timestamptz not null default clock_timestamp(),
    primary key (load, seen_at)
);

-- How far the ledger and the business's files were checked: advanced in the transaction that writes what was found.
create table recon.control_state (
    only_one boolean primary key default true check (only_one),
    batch bigint not null,
    ordinal integer not null,
    load bigint not null,
    source_seen_at timestamptz,
    registry_load bigint not null,
    advanced_at timestamptz not null default clock_timestamp()
);
insert into recon.control_state (batch, ordinal, load, registry_load) values (0, 0, 0, 0);

-- All notices up to delivered_through are delivered; what lies above it is in control_delivery_row.
create table recon.control_receiver (
    receiver text collate "C" primary key,
    delivered_through bigint not null,
    failures integer not null default 0,
    last_error text,
    tried_at timestamptz
);

-- Something that must stand for a while before it alarms: since when it is as it was last seen.
create table recon.control_condition (
    subject text collate "C" primary key,
    pulled boolean not null,
    bad boolean not null,
    since timestamptz not null,
    observations integer not null,
    reasons jsonb not null,
    looked_at timestamptz not null
);

do $$
declare relation text;
begin
    foreach relation in array array['control_crossing_row', 'control_reference_row', 'control_withdrawal_row',
        'control_notice_row', 'control_delivery_row', 'source_seen_row'] loop
        call recon.make_append_only(('recon.' || relation)::regclass);
    end loop;
end $$;

-- An order is asked for by its transaction, a message too, and the newest file of a kind.
create index order_row_signature on recon.order_row (signature) where signature is not null;
create index bridge_message_row_signature on recon.bridge_message_row (signature) where signature is not null;
create index load_row_kind on recon.load_row (kind, load);

create view recon.control_position as
select batch, ordinal, load, advanced_at from recon.control_state;

create view recon.checked_crossings as
select c.crossing, c.key, c.symbol, c.mint, c.slot, c.tx_index, c.step, c.child, c.signature, c.kind, c.outward, c.raw,
       c.unit, c.at, c.account, c.issuer_role, c.counterparty, c.counterparty_role, c.memo, c.batch, c.ordinal,
       c.registry_load, c.checked_at, w.reason as withdrawn
from recon.control_crossing_row c left join recon.control_withdrawal_row w using (crossing);

create view recon.alert_notices as
select notice, fingerprint, status, reason, mint, crossing, labels, annotations, starts_at, ends_at, made_at
from recon.control_notice_row;

-- Each alert as it stands now.
create view recon.alerts as
select distinct on (fingerprint)
       fingerprint, notice, status, reason, mint, crossing, labels, annotations, starts_at, ends_at, made_at
from recon.control_notice_row order by fingerprint, notice desc;

create view recon.alert_deliveries as
select receiver, notice, attempts, http_status, delivered_at from recon.control_delivery_row;

create view recon.alert_receivers as
select receiver, delivered_through, failures, last_error, tried_at from recon.control_receiver;

create view recon.control_conditions as
select subject, pulled, bad, since, observations, reasons, looked_at from recon.control_condition;

create view recon.source_sightings as
select load, seen_at from recon.source_seen_row;

-- Where an account of a mint stood around the transactions of a batch, and who owned it: what a crossing without
-- a transfer is told by.
create function ledger.touches_of_batch(batch bigint, mints text[]) returns table (
    slot bigint, tx_index integer, mint text, account text, pre_amount numeric, pre_owner text, post_owner text
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select t.slot, t.tx_index, t.mint, t.account, t.pre_amount::numeric, t.pre_owner, t.post_owner
    from ledger.touch_row t where t.batch = $1 and t.mint = any ($2)
$$;

-- The owner changes that a batch appended, retracted since or not.
create function ledger.owner_changes_of_batch(batch bigint, mints text[]) returns table (
    slot bigint, tx_index integer, step integer, child integer, block_time timestamptz, signature text, mint text,
    account text, authority text, new_owner text
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select c.slot, c.tx_index, c.step, c.child, c.block_time, c.signature, c.mint, c.account, c.authority,
           c.details ->> 'new'
    from ledger.control_row c
    where c.batch = $1 and c.mint = any ($2) and c.kind = 'owner' and c.account is not null
    order by c.slot, c.tx_index, c.step, c.child
$$;
