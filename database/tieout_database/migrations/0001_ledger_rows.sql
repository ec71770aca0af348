-- The ledger's stored rows. Nothing here is ever updated or deleted: a correction
-- appends a row and a retraction of the old one, each under the batch that made it.
-- Stored tables end in _row; analysts read the views of 0002.

set local lock_timeout = '30s';
set local statement_timeout = '10min';

create schema ledger;

-- A raw amount as the program keeps it. A plain numeric(20,0) would round 1.5 to 2 in silence.
create domain ledger.u64 as numeric
    check (value = trunc(value) and value between 0 and 18446744073709551615);

-- The one chain this database speaks of, by its genesis hash.
create table ledger.cluster_row (
    only_one boolean primary key default true check (only_one),
    genesis_hash text collate "C" not null,
    -- getEpochSchedule's answer: transfer fees change by epoch; null where the node did not say
    epoch_schedule jsonb,
    recorded_at timestamptz not null default clock_timestamp()
);

-- The fencing token. The only mutable row of the ledger: a writer takes the next epoch,
-- and each commit of it checks that the epoch is still its own.
create table ledger.writer (
    only_one boolean primary key default true check (only_one),
    epoch bigint not null,
    holder text not null,
    acquired_at timestamptz not null default clock_timestamp()
);
insert into ledger.writer (epoch, holder) values (0, 'nobody yet');

-- One row a commit: gapless, hash-chained over the content of all rows the batch wrote.
create table ledger.batch_row (
    batch bigint primary key check (batch > 0),
    committed_at timestamptz not null default clock_timestamp(),
    epoch bigint not null,
    decoder_version text not null,
    prev_hash bytea not null check (octet_length(prev_hash) = 32),
    content_hash bytea not null check (octet_length(content_hash) = 32),
    hash bytea not null check (octet_length(hash) = 32)
);

create table ledger.tracked_row (
    mint text collate "C" primary key,
    from_slot bigint not null check (from_slot >= 0),
    batch bigint not null references ledger.batch_row (batch) deferrable initially deferred
);

-- Slots read and committed for a mint, inclusive. Overlaps are harmless: the view merges.
create table ledger.coverage_row (
    mint text collate "C" not null,
    from_slot bigint not null,
    to_slot bigint not null,
    batch bigint not null,
    primary key (mint, from_slot, to_slot, batch),
    check (0 <= from_slot and from_slot <= to_slot)
);

create table ledger.slot_row (
    slot bigint primary key,
    parent_slot bigint not null,
    blockhash text collate "C" not null,
    parent_blockhash text collate "C" not null,
    block_time timestamptz,
    transactions integer not null,
    batch bigint not null,
    check (parent_slot < slot or slot = 0)
);

create table ledger.event_row (
    slot bigint not null,
    block_time timestamptz,
    tx_index integer not null,
    step integer not null,
    child integer not null,
    path text collate "C" not null,
    signature text collate "C" not null,
    program text collate "C" not null,
    kind text collate "C" not null,
    mint text collate "C" not null,
    -- Two sides, always: the other side of a mint, a fee or a hidden balance is a
    -- pseudo-account (issuance, withheld, confidential), so that postings sum to zero.
    source text collate "C" not null,
    source_owner text collate "C",
    destination text collate "C" not null,
    destination_owner text collate "C",
    authority text collate "C",
    authority_role text collate "C",
    amount ledger.u64 not null,
    fee ledger.u64 not null,
    memo text collate "C",
    batch bigint not null,
    primary key (slot, tx_index, step, child, batch),
    check (fee <= amount)
) partition by range (slot);
create index event_row_mint on ledger.event_row (mint, slot, tx_index, step, child);
create index event_row_signature on ledger.event_row (signature);
create index event_row_batch on ledger.event_row (batch);

create table ledger.control_row (
    slot bigint not null,
    block_time timestamptz,
    tx_index integer not null,
    step integer not null,
    child integer not null,
    path text collate "C" not null,
    signature text collate "C" not null,
    kind text collate "C" not null,
    mint text collate "C" not null,
    account text collate "C",
    authority text collate "C",
    details jsonb not null,
    batch bigint not null,
    primary key (slot, tx_index, step, child, mint, batch)
) partition by range (slot);
create index control_row_mint on ledger.control_row (mint, kind, slot);
create index control_row_account on ledger.control_row (mint, account, slot);
create index control_row_batch on ledger.control_row (batch);

-- What was proven of a transaction for a mint: exact (all effects from instruction data),
-- derived (one amount solved from the node's balances), unproven.
create table ledger.proof_row (
    slot bigint not null,
    tx_index integer not null,
    mint text collate "C" not null,
    status text collate "C" not null check (status in ('exact', 'derived', 'unproven')),
    batch bigint not null,
    primary key (slot, tx_index, mint, batch)
) partition by range (slot);
create index proof_row_batch on ledger.proof_row (batch);

-- The node's own balance of each account of the mint before and after the transaction:
-- one side of the proof, and the links of the continuity from one transaction to the next.
-- A null amount: the account did not exist on that side.
create table ledger.touch_row (
    slot bigint not null,
    tx_index integer not null,
    mint text collate "C" not null,
    account text collate "C" not null,
    -- null: the account lived within one transaction, and the node listed no balance of it
    decimals smallint,
    pre_amount ledger.u64,
    post_amount ledger.u64,
    pre_owner text collate "C",
    post_owner text collate "C",
    batch bigint not null,
    primary key (slot, tx_index, mint, account, batch)
) partition by range (slot);
create index touch_row_account on ledger.touch_row (mint, account, slot desc, tx_index desc);
create index touch_row_batch on ledger.touch_row (batch);

create table ledger.quarantine_row (
    slot bigint not null,
    tx_index integer not null,
    step integer not null,
    child integer not null,
    signature text collate "C" not null,
    path text collate "C" not null,
    mint text collate "C" not null,
    reason text not null,
    data text not null,
    batch bigint not null,
    primary key (slot, tx_index, step, child, mint, batch)
);

-- Slots in doubt. The last row of a slot counts: park, clear, or accept (a permanent, reported hole).
create table ledger.park_row (
    slot bigint not null,
    action text collate "C" not null check (action in ('park', 'clear', 'accept')),
    reason text not null,
    at timestamptz not null,
    batch bigint not null,
    primary key (slot, batch)
);

-- The node's exact bytes of each transaction that has a row: zstandard-compressed;
-- sha256 is of the bytes before compression.
create table ledger.evidence_row (
    slot bigint not null,
    tx_index integer not null,
    encoding text collate "C" not null,
    endpoint text not null,
    sha256 bytea not null check (octet_length(sha256) = 32),
    body bytea not null,
    batch bigint not null,
    primary key (slot, tx_index, batch)
) partition by range (slot);
create index evidence_row_batch on ledger.evidence_row (batch);

-- A corrected decode retracts the row that it replaces. relation: event, control, proof, touch, quarantine.
create table ledger.retraction_row (
    relation text collate "C" not null,
    slot bigint not null,
    tx_index integer not null,
    step integer not null,
    child integer not null,
    mint text collate "C" not null,
    account text collate "C" not null,
    row_batch bigint not null,
    batch bigint not null,
    primary key (relation, slot, tx_index, step, child, mint, account, row_batch)
);
create index retraction_row_batch on ledger.retraction_row (batch);

-- Confirmed, not final: replaced as the chain moves, so it is a table of its own and no ledger row.
create table ledger.provisional_row (
    like ledger.event_row,
    blockhash text collate "C" not null,
    primary key (slot, tx_index, step, child)
);

create function ledger.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'ledger.% is append-only: % refused', tg_table_name, lower(tg_op)
        using errcode = 'restrict_violation',
              hint = 'append a corrected row and a retraction; see docs/explanation/ledger.md';
end $$;

-- Makes a table append-only. Row triggers reach the partitions by themselves, TRUNCATE triggers do not.
create procedure ledger.make_append_only(relation regclass) language plpgsql as $$
begin
    execute format('create trigger refuse_truncate before truncate on %s execute function ledger.refuse_change()', relation);
    if not (select relispartition from pg_class where oid = relation) then
        execute format('create trigger refuse_change before update or delete on %s for each row execute function ledger.refuse_change()', relation);
    end if;
end $$;

do $$
declare relation text;
begin
    foreach relation in array array['cluster_row', 'batch_row', 'tracked_row', 'coverage_row', 'slot_row', 'event_row',
        'control_row', 'proof_row', 'touch_row', 'quarantine_row', 'park_row', 'evidence_row', 'retraction_row'] loop
        call ledger.make_append_only(('ledger.' || relation)::regclass);
    end loop;
end $$;

-- Makes the partitions that hold a slot (ten million slots each, about 46 days).
-- SECURITY DEFINER: the writer's role may append, not create.
create function ledger.ensure_partition(slot bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    span constant bigint := 10000000;
    lower_slot constant bigint := slot - slot % span;
    relation text;
    number text;
    partition text;
begin
    if slot < 0 then
        raise exception 'a slot is never negative: %', slot;
    end if;
    foreach relation in array array['event_row', 'control_row', 'proof_row', 'touch_row', 'evidence_row'] loop
        number := (lower_slot / span)::text;
        partition := format('%s_%s', relation, lpad(number, greatest(6, length(number)), '0'));
        if to_regclass(format('ledger.%I', partition)) is null then
            perform pg_advisory_xact_lock(hashtext('ledger.ensure_partition'));
            -- Asked of the table, not of to_regclass: its cache may not know yet what another writer
            -- made while this one waited for the lock.
            if not exists (select from pg_class where relnamespace = to_regnamespace('ledger') and relname = partition) then
                execute format('create table ledger.%I partition of ledger.%I for values from (%s) to (%s)',
                    partition, relation, lower_slot, lower_slot + span);
                call ledger.make_append_only(format('ledger.%I', partition)::regclass);
            end if;
        end if;
    end loop;
end $$;
