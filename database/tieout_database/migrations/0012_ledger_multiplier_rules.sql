-- The multiplier over time under both rules of the program, and mints opened from a snapshot known to reconciliation.
--
-- Since token-2022 #522 (merged on 2025-06-25) UpdateMultiplier first takes over what has come into force:
-- if t >= ts then m := n. Before it did not, so a second future update made an earlier one fall back to whatever
-- was last set at once. When a public cluster's program changed is not written on the chain.

set local lock_timeout = '30s';
set local statement_timeout = '1h';

-- From which slot on a cluster's program follows the rule of today, as somebody declared it. The last row counts.
create table ledger.multiplier_rule_row (
    from_slot bigint not null check (from_slot >= 0),
    reason text not null,
    declared_by text not null,
    at timestamptz not null,
    batch bigint not null,
    primary key (batch)
);
call ledger.make_append_only('ledger.multiplier_rule_row'::regclass);

create view ledger.multiplier_rules as
select from_slot, reason, declared_by, at as declared_at, batch from ledger.multiplier_rule_row;

-- Each announcement in order, and after what the older rule let fall back, a row of its own (how: fallback) in
-- front of the announcement that did it. Of the rows that nothing superseded, the last in order whose effective_at
-- has come is in force. bits null: nobody can say, since the rule of its hour is not declared or the ledger has no
-- earlier state. multiplier and effective_seconds are the mint's own fields after the row (new_multiplier is bits).
-- The rule of a row: older | current | undeclared. A local cluster has the program of today.
create function ledger.multiplier_steps(mints text[], known_batch bigint default null) returns table (
    mint text, effective_at timestamptz, announced_slot bigint, bits bytea, superseded_slot bigint,
    tx_index integer, step integer, child integer, signature text, how text, rule text, announced_at timestamptz,
    superseded_at timestamptz, multiplier bytea, effective_seconds numeric
) language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    -- mainnet-beta, devnet, testnet
    is_public constant boolean := exists (
        select from ledger.cluster_row c where c.genesis_hash in (
            '5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d', 'EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG',
            '4uhcVJyU9pJkvQyUS88uRDiswHXSCKY3zQawwpdk2NsY'));
    declared constant bigint := (
        select r.from_slot from ledger.multiplier_rule_row r
        where $2 is null or r.batch <= $2 order by r.batch desc limit 1);
    update_row record;
    clock timestamptz;
    current_bits bytea;
    new_bits bytea;
    new_at timestamptz;
    was_in_force bytea;
    is_snapshot boolean := false;
begin
    for update_row in
        select c.mint, c.slot, c.tx_index, c.step, c.child, c.signature, c.block_time,
               decode(c.details ->> 'bits', 'hex') as bits, coalesce((c.details ->> 'snapshot')::boolean, false) as snapshot,
               greatest((c.details ->> 'effective_timestamp')::numeric, 0) as seconds,
               lag(c.mint) over in_order is distinct from c.mint as first,
               lead(c.slot) over in_order as next_slot, lead(c.block_time) over in_order as next_time
        from ledger.control_row c
        where c.kind = 'multiplier' and ($1 is null or c.mint = any ($1)) and ($2 is null or c.batch <= $2)
          and not ledger.is_retracted('control', c.slot, c.tx_index, c.step, c.child, c.mint, '', c.batch, $2)
        window in_order as (partition by c.mint order by c.slot, c.tx_index, c.step, c.child)
        order by c.mint, c.slot, c.tx_index, c.step, c.child
    loop
        if update_row.first then
            clock := null;
            current_bits := null;
            new_bits := null;
            new_at := null;
            is_snapshot := false;
        end if;
        -- a block without a time is no earlier than the one before
        clock := coalesce(update_row.block_time, clock);
        was_in_force := case when new_at is null or clock >= new_at then new_bits else current_bits end;
        rule := case when not is_public or update_row.slot >= declared then 'current'
                     when update_row.slot < declared or update_row.block_time < '2025-06-25T00:00:00Z' then 'older'
                     else 'undeclared' end;
        mint := update_row.mint;
        announced_slot := update_row.slot;
        tx_index := update_row.tx_index;
        step := update_row.step;
        signature := update_row.signature;
        announced_at := update_row.block_time;
        if update_row.snapshot then
            -- the account's two fields as they are: the first sets all, the second what is to come
            if not is_snapshot then
                current_bits := update_row.bits;
            end if;
        elsif rule = 'current' then
            current_bits := was_in_force;
        elsif rule = 'undeclared' and current_bits is distinct from was_in_force then
            current_bits := null;
        end if;
        is_snapshot := update_row.snapshot and not is_snapshot;
        -- what an earlier update had brought into force is dropped; in a transaction of one's own hour it cannot be
        if not update_row.first and not update_row.snapshot and current_bits is distinct from was_in_force
           and clock < ledger.instant(update_row.seconds) then
            effective_at := clock;
            bits := current_bits;
            superseded_slot := null;
            superseded_at := null;
            child := update_row.child - 1;
            how := 'fallback';
            multiplier := current_bits;
            effective_seconds := update_row.seconds;
            return next;
        end if;
        new_bits := update_row.bits;
        new_at := ledger.instant(update_row.seconds);
        if clock is null or clock >= new_at then
            how := 'at_once';
            if not update_row.snapshot then
                current_bits := new_bits;
            end if;
        else
            how := 'announced';
        end if;
        if update_row.snapshot then
            how := 'snapshot';
        end if;
        effective_at := greatest(clock, new_at);
        bits := new_bits;
        child := update_row.child;
        superseded_slot := case when update_row.next_time < effective_at then update_row.next_slot end;
        superseded_at := case when update_row.next_time < effective_at then update_row.next_time end;
        multiplier := current_bits;
        effective_seconds := update_row.seconds;
        return next;
    end loop;
end $$;

create or replace function ledger.multipliers_known(known_batch bigint default null) returns table (
    mint text, effective_at timestamptz, announced_slot bigint, bits bytea, value numeric, superseded_slot bigint,
    tx_index integer, step integer, child integer, signature text
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select s.mint, s.effective_at, s.announced_slot, s.bits, ledger.f64_exact(s.bits), s.superseded_slot,
           s.tx_index, s.step, s.child, s.signature
    from ledger.multiplier_steps(null, $1) s
$$;

-- state, by the time of the ledger's last block: overridden (replaced before its hour), pending, effective, past.
create or replace view ledger.multipliers as
with moment as materialized (select max(block_time) as at from ledger.slot_row),
counted as (
    select s.*, case when s.superseded_slot is null then lead(s.effective_at) over (
               partition by s.mint, s.superseded_slot is null
               order by s.announced_slot, s.tx_index, s.step, s.child) end as replaced_at
    from ledger.multiplier_steps(null, null) s
)
select c.mint, c.effective_at, c.announced_slot, c.bits, ledger.f64_exact(c.bits) as value, c.superseded_slot,
       c.signature, c.tx_index, c.step, c.child, c.how, c.rule, c.announced_at, c.superseded_at as overridden_at,
       case when c.superseded_slot is null and c.effective_at < 'infinity' then c.effective_at end as in_force_from,
       c.replaced_at as in_force_to,
       case when c.superseded_slot is not null then 'overridden'
            when c.effective_at > m.at then 'pending'
            when c.replaced_at <= m.at then 'past'
            else 'effective' end as state
from counted c cross join moment m;

create or replace function ledger.multiplier_at(mint text, at timestamptz, known_batch bigint default null) returns bytea
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select s.bits from ledger.multiplier_steps(array[$1], $3) s
    where s.superseded_slot is null and s.effective_at <= $2
    order by s.announced_slot desc, s.tx_index desc, s.step desc, s.child desc limit 1
$$;

-- The mint's own three fields after a slot, by the replay. multiplier null: nobody can say (see multiplier_steps).
create function ledger.multiplier_state_at(mint text, slot bigint, known_batch bigint default null) returns table (
    multiplier bytea, effective_seconds numeric, new_multiplier bytea, rule text
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select s.multiplier, s.effective_seconds, s.bits, s.rule from ledger.multiplier_steps(array[$1], $3) s
    where s.announced_slot <= $2 and s.how <> 'fallback'
    order by s.announced_slot desc, s.tx_index desc, s.step desc, s.child desc limit 1
$$;

-- Bytes that are no number (a quiet NaN) stand for what nobody can say: whoever computes with them finds it unknown.
create or replace function ledger.mint_multipliers_known(mints text[], known_batch bigint) returns table (
    mint text, announced_slot bigint, tx_index integer, step integer, child integer, effective_at timestamptz,
    bits bytea, superseded_slot bigint
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select s.mint, s.announced_slot, s.tx_index, s.step, s.child, s.effective_at,
           coalesce(s.bits, '\x000000000000f87f'::bytea), s.superseded_slot
    from ledger.multiplier_steps($1, $2) s
    order by s.announced_slot, s.tx_index, s.step, s.child
$$;

-- As ledger.bases_known, for some mints: it reads no other mint's controls.
create function ledger.bases_of(mints text[], known_batch bigint) returns table (
    mint text, from_slot bigint, to_slot bigint, after_slot bigint, opening text
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with covered as materialized (select c.* from ledger.coverage_known($2) c where c.mint = any ($1)),
    born as materialized (
        select c.mint, c.slot from ledger.control_row c
        where c.mint = any ($1) and c.kind = 'mint_open' and ($2 is null or c.batch <= $2)
          and not ledger.is_retracted('control', c.slot, c.tx_index, c.step, c.child, c.mint, '', c.batch, $2)
    )
    select v.mint, v.from_slot, v.to_slot, -1::bigint, 'genesis'
    from covered v
    where exists (select from born b where b.mint = v.mint and b.slot between v.from_slot and v.to_slot)
    union all
    select v.mint, o.slot, v.to_slot, o.slot, 'snapshot'
    from covered v
    cross join lateral (
        select o.slot from ledger.opening_row o
        where o.mint = v.mint and o.slot between v.from_slot - 1 and v.to_slot and ($2 is null or o.batch <= $2)
        order by o.slot limit 1) o
    where not exists (select from born b where b.mint = v.mint and b.slot between v.from_slot and v.to_slot)
$$;

-- The slot after which each mint's movements count, as of a slot: that of its snapshot, or -1.
create function ledger.counted_after(mints text[], at_slot bigint, known_batch bigint) returns table (mint text, slot bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select m.mint, coalesce(max(b.after_slot), -1)
    from unnest($1) as m(mint)
    left join ledger.bases_of($1, $3) b on b.mint = m.mint and $2 between b.from_slot and b.to_slot
    group by m.mint
$$;

-- What a snapshot found, in the form of events of kind opening: one row an account that held something, and one
-- without an account for what was withheld or hidden. Nothing where the mint is known from its creation.
create function ledger.opening_events_known(mints text[], at_slot bigint, known_batch bigint) returns table (
    mint text, slot bigint, tx_index integer, step integer, child integer, block_time timestamptz, signature text,
    kind text, source text, source_owner text, destination text, destination_owner text, authority text,
    authority_role text, amount ledger.u64, fee ledger.u64, memo text
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with opened as materialized (
        select o.mint, o.slot, o.withheld::numeric + o.hidden::numeric as unseen,
               (select c.block_time from ledger.control_row c
                where c.mint = o.mint and c.kind = 'snapshot' and c.slot = o.slot limit 1) as block_time
        from ledger.counted_after($1, $2, $3) b join ledger.opening_row o on o.mint = b.mint and o.slot = b.slot
    ), held as (
        select o.mint, o.slot, o.block_time, t.account, t.post_owner as owner, t.post_amount::numeric as amount
        from opened o
        join ledger.touch_row t on t.mint = o.mint and t.slot = o.slot and t.tx_index = ledger.snapshot_index()
        union all
        select o.mint, o.slot, o.block_time, null, null, o.unseen from opened o
    )
    select h.mint, h.slot, ledger.snapshot_index(),
           (row_number() over (partition by h.mint order by h.account collate "C"))::integer - 1, -1,
           h.block_time, '', 'opening', null, null, h.account, h.owner, null, null,
           h.amount::ledger.u64, 0::ledger.u64, null
    from held h where h.amount > 0
    order by h.slot, 4
$$;

-- As in 0005, from a snapshot on where the mint was opened by one: its accounts that are asked for, one by one, and
-- all others in one row without an account.
create or replace function ledger.boundary_events_known(
    mints text[], to_slot bigint, known_batch bigint, owners text[], accounts text[]
) returns table (
    mint text, slot bigint, tx_index integer, step integer, child integer, block_time timestamptz, signature text,
    kind text, source text, source_owner text, destination text, destination_owner text, authority text,
    authority_role text, amount ledger.u64, fee ledger.u64, memo text
) language plpgsql stable security definer set search_path = pg_catalog, pg_temp
-- The keys are few beside the table: probe for them, whatever the statistics say.
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
declare
    ours text[];
    -- of the mints opened by a snapshot: the slot after which their movements count
    opened_at jsonb;
begin
    select coalesce(jsonb_object_agg(b.mint, b.slot), '{}') into opened_at
    from ledger.counted_after($1, $2, $3) b where b.slot >= 0;
    select array_agg(distinct found.account) into ours from (
        select a.account from ledger.accounts_of($1, $4) a
        union all select c.account from ledger.owner_changes_known($1, $2, $3) c
        union all select unnest($5)
        union all
        -- tokens that passed through an account opened and closed in the same transaction
        select x.account
        from ledger.touch_row t
        join ledger.event_row e on e.slot = t.slot and e.tx_index = t.tx_index and e.mint = t.mint
        cross join lateral (values (e.source, e.source_owner), (e.destination, e.destination_owner)) as x(account, owner)
        where t.decimals is null and t.mint = any ($1) and t.slot <= $2 and x.owner = any ($4)
    ) found;
    return query execute $query$
        with places as materialized (
            select distinct t.slot, t.tx_index from ledger.touch_row t
            where t.mint = any ($1) and t.account = any ($6) and t.slot <= $2
        ), found as (
            select e.* from ledger.event_row e
            where e.kind in ('mint', 'burn') and e.mint = any ($1) and e.slot <= $2
            union all
            select e.* from places p join ledger.event_row e on e.slot = p.slot and e.tx_index = p.tx_index
            where e.kind not in ('mint', 'burn') and e.mint = any ($1)
              and (e.source = any ($6) or e.destination = any ($6))
        ), opened as materialized (
            select * from ledger.opening_events_known($1, $2, $3)
        ), told as (
            select e.mint, e.slot, e.tx_index, e.step, e.child, e.block_time, e.signature, e.kind,
                   case when e.source in ('issuance', 'withheld', 'confidential') then null else e.source end as source,
                   e.source_owner,
                   case when e.destination in ('issuance', 'withheld', 'confidential')
                        then null else e.destination end as destination,
                   e.destination_owner, e.authority, e.authority_role, e.amount, e.fee, e.memo
            from found e
            where e.batch <= $3 and e.slot > coalesce(($7 ->> e.mint)::bigint, -1)
              and not ledger.is_retracted('event', e.slot, e.tx_index, e.step, e.child, e.mint, '', e.batch, $3)
            union all
            select o.* from opened o where o.destination = any ($6)
            union all
            select o.mint, o.slot, o.tx_index, min(o.step), -1, o.block_time, '', 'opening', null, null, null, null, null,
                   null, sum(o.amount::numeric)::ledger.u64, 0::ledger.u64, null
            from opened o where (o.destination = any ($6)) is not true
            group by o.mint, o.slot, o.tx_index, o.block_time
        )
        select * from told e order by e.slot, e.tx_index, e.step, e.child
    $query$ using mints, to_slot, known_batch, owners, accounts, ours, opened_at;
end $$;

-- Each mint's proven range from its creation or from its snapshot, how far anything of it is read, decimals, supply.
create or replace function ledger.mint_states_known(mints text[], at_slot bigint, known_batch bigint) returns table (
    mint text, known_from bigint, known_to bigint, covered_to bigint, decimals integer, supply numeric
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with covered as materialized (
        select c.mint, c.from_slot, c.to_slot from ledger.coverage_known($3) c where c.mint = any ($1)
    ), opened as materialized (
        select c.mint, c.slot, c.tx_index, c.step, (c.details ->> 'decimals')::integer as decimals
        from ledger.control_row c
        where c.mint = any ($1) and c.kind in ('mint_open', 'snapshot') and c.batch <= $3
          and not ledger.is_retracted('control', c.slot, c.tx_index, c.step, c.child, c.mint, '', c.batch, $3)
    ), bases as materialized (
        select b.* from ledger.bases_of($1, $3) b
    ), known as materialized (
        -- the range that holds the slot; else the last one, so that the reader can say how far it reaches
        select distinct on (b.mint) b.mint, b.from_slot, b.to_slot, b.after_slot
        from bases b order by b.mint, $2 between b.from_slot and b.to_slot desc, b.from_slot desc
    )
    select m.mint, k.from_slot, k.to_slot,
           (select max(c.to_slot) from covered c where c.mint = m.mint),
           (select o.decimals from opened o where o.mint = m.mint and o.slot <= $2
            order by o.slot desc, o.tx_index desc, o.step desc limit 1),
           case when $2 between k.from_slot and k.to_slot then (
               select coalesce(sum(case e.kind when 'mint' then e.amount::numeric else -e.amount::numeric end), 0)
               from ledger.event_row e
               where e.mint = m.mint and e.kind in ('mint', 'burn') and e.slot <= $2 and e.slot > k.after_slot
                 and e.batch <= $3
                 and not ledger.is_retracted('event', e.slot, e.tx_index, e.step, e.child, e.mint, '', e.batch, $3)
           ) + coalesce((
               select max(o.supply::numeric) from ledger.opening_row o
               where o.mint = m.mint and o.slot = k.after_slot and o.batch <= $3), 0) end
    from unnest($1) as m(mint)
    left join known k on k.mint = m.mint
$$;
