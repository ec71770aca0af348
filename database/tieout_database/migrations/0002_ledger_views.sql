-- What analysts, auditors and the reconciliation read. Views only ever gain columns, at the end.
-- The *_known functions give the same rows as they were known at a batch: an as-of report reads
-- them, so that a later correction never changes what it says.

set local lock_timeout = '30s';
set local statement_timeout = '10min';

create function ledger.is_retracted(
    relation text, slot bigint, tx_index integer, step integer, child integer, mint text, account text,
    row_batch bigint, known_batch bigint
) returns boolean language sql stable as $$
    select exists (
        select from ledger.retraction_row r
        where r.relation = $1 and r.slot = $2 and r.tx_index = $3 and r.step = $4 and r.child = $5
          and r.mint = $6 and r.account = $7 and r.row_batch = $8 and ($9 is null or r.batch <= $9))
$$;

create function ledger.events_known(known_batch bigint default null) returns table (
    slot bigint, block_time timestamptz, tx_index integer, step integer, child integer, path text, signature text,
    program text, kind text, mint text, source text, source_owner text, destination text, destination_owner text,
    authority text, authority_role text, amount ledger.u64, fee ledger.u64, memo text, batch bigint
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select e.slot, e.block_time, e.tx_index, e.step, e.child, e.path, e.signature, e.program, e.kind, e.mint,
           case when e.source in ('issuance', 'withheld', 'confidential') then null else e.source end,
           e.source_owner,
           case when e.destination in ('issuance', 'withheld', 'confidential') then null else e.destination end,
           e.destination_owner, e.authority, e.authority_role, e.amount, e.fee, e.memo, e.batch
    from ledger.event_row e
    where ($1 is null or e.batch <= $1)
      and not ledger.is_retracted('event', e.slot, e.tx_index, e.step, e.child, e.mint, '', e.batch, $1)
$$;

-- The events that one batch appended, in ledger order, retracted since or not: what a stream of
-- changes reads.
create function ledger.events_of_batch(batch bigint) returns table (
    slot bigint, block_time timestamptz, tx_index integer, step integer, child integer, path text, signature text,
    program text, kind text, mint text, source text, source_owner text, destination text, destination_owner text,
    authority text, authority_role text, amount ledger.u64, fee ledger.u64, memo text, batch bigint
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select e.slot, e.block_time, e.tx_index, e.step, e.child, e.path, e.signature, e.program, e.kind, e.mint,
           case when e.source in ('issuance', 'withheld', 'confidential') then null else e.source end,
           e.source_owner,
           case when e.destination in ('issuance', 'withheld', 'confidential') then null else e.destination end,
           e.destination_owner, e.authority, e.authority_role, e.amount, e.fee, e.memo, e.batch
    from ledger.event_row e where e.batch = $1
    order by e.slot, e.tx_index, e.step, e.child
$$;

create function ledger.controls_known(known_batch bigint default null) returns table (
    slot bigint, block_time timestamptz, tx_index integer, step integer, child integer, path text, signature text,
    kind text, mint text, account text, authority text, details jsonb, batch bigint
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select c.slot, c.block_time, c.tx_index, c.step, c.child, c.path, c.signature, c.kind, c.mint, c.account,
           c.authority, c.details, c.batch
    from ledger.control_row c
    where ($1 is null or c.batch <= $1)
      and not ledger.is_retracted('control', c.slot, c.tx_index, c.step, c.child, c.mint, '', c.batch, $1)
$$;

-- Read straight from the rows, not through the function above: the planner sees the indexes.
create view ledger.events as
select e.slot, e.block_time, e.tx_index, e.step, e.child, e.path, e.signature, e.program, e.kind, e.mint,
       case when e.source in ('issuance', 'withheld', 'confidential') then null else e.source end as source,
       e.source_owner,
       case when e.destination in ('issuance', 'withheld', 'confidential') then null else e.destination end as destination,
       e.destination_owner, e.authority, e.authority_role, e.amount, e.fee, e.memo, e.batch
from ledger.event_row e
where not exists (
    select from ledger.retraction_row r
    where r.relation = 'event' and r.slot = e.slot and r.tx_index = e.tx_index and r.step = e.step
      and r.child = e.child and r.row_batch = e.batch);

create view ledger.controls as
select c.slot, c.block_time, c.tx_index, c.step, c.child, c.path, c.signature, c.kind, c.mint, c.account,
       c.authority, c.details, c.batch
from ledger.control_row c
where not exists (
    select from ledger.retraction_row r
    where r.relation = 'control' and r.slot = c.slot and r.tx_index = c.tx_index and r.step = c.step
      and r.child = c.child and r.mint = c.mint and r.row_batch = c.batch);

create view ledger.touches as
select t.slot, t.tx_index, t.mint, t.account, t.decimals, t.pre_amount, t.post_amount, t.pre_owner, t.post_owner, t.batch
from ledger.touch_row t
where not exists (
    select from ledger.retraction_row r
    where r.relation = 'touch' and r.slot = t.slot and r.tx_index = t.tx_index and r.mint = t.mint
      and r.account = t.account and r.row_batch = t.batch);

create view ledger.quarantine as
select q.slot, q.signature, q.path, q.mint, q.reason, q.data, q.batch, q.tx_index, q.step, q.child
from ledger.quarantine_row q
where not exists (
    select from ledger.retraction_row r
    where r.relation = 'quarantine' and r.slot = q.slot and r.tx_index = q.tx_index and r.step = q.step
      and r.child = q.child and r.mint = q.mint and r.row_batch = q.batch);

-- One row a transaction: the weakest of its mints' proofs.
create view ledger.proofs as
select p.slot, p.tx_index,
       (array_agg(p.status order by array_position(array['unproven', 'derived', 'exact'], p.status)))[1] as status,
       max(p.batch) as batch
from ledger.proof_row p
where not exists (
    select from ledger.retraction_row r
    where r.relation = 'proof' and r.slot = p.slot and r.tx_index = p.tx_index and r.mint = p.mint
      and r.row_batch = p.batch)
group by p.slot, p.tx_index;

create view ledger.slots as
select slot, parent_slot, blockhash, block_time, transactions from ledger.slot_row;

create view ledger.cluster as select genesis_hash from ledger.cluster_row;

create view ledger.batches as
select batch, committed_at, decoder_version, prev_hash, hash, content_hash from ledger.batch_row;

create view ledger.retractions as
select relation, slot, tx_index, step, child, mint, account, row_batch, batch from ledger.retraction_row;

create view ledger.evidence as
select slot, tx_index, encoding, endpoint, sha256, body from ledger.evidence_row;

create view ledger.parked as
select slot, reason, since
from (
    select distinct on (slot) slot, action, reason,
           (select min(f.at) from ledger.park_row f
            where f.slot = p.slot and f.action = 'park'
              and f.batch > coalesce((select max(c.batch) from ledger.park_row c where c.slot = p.slot and c.action <> 'park'), 0)
           ) as since
    from ledger.park_row p
    order by slot, batch desc
) last
where action = 'park';

-- Proven ranges: what was read and committed, merged, and cut where the mint's first
-- open quarantine stands: from there the mint is unproven.
create function ledger.coverage_known(known_batch bigint default null) returns table (mint text, from_slot bigint, to_slot bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with read_ranges as (
        select c.mint, range_agg(int8range(c.from_slot, c.to_slot, '[]')) as ranges
        from ledger.coverage_row c where $1 is null or c.batch <= $1 group by c.mint
    ), doubt as (
        select q.mint, min(q.slot) as slot
        from ledger.quarantine_row q
        where ($1 is null or q.batch <= $1)
          and not ledger.is_retracted('quarantine', q.slot, q.tx_index, q.step, q.child, q.mint, '', q.batch, $1)
        group by q.mint
    )
    select r.mint, lower(range), upper(range) - 1
    from read_ranges r
    left join doubt d using (mint)
    cross join lateral unnest(
        case when d.slot is null then r.ranges else r.ranges * int8multirange(int8range(null, d.slot)) end) as range
    order by 1, 2
$$;

create view ledger.coverage as select mint, from_slot, to_slot from ledger.coverage_known();

-- The proven range in which the mint was created: inside it, balances are sums from nothing,
-- so they are known. No row: the mint was picked up in mid-life, and nothing is known.
create function ledger.known_range(mint text, known_batch bigint default null) returns table (from_slot bigint, to_slot bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select v.from_slot, v.to_slot
    from ledger.coverage_known($2) v
    where v.mint = $1
      and exists (
        select from ledger.control_row c
        where c.mint = $1 and c.kind = 'mint_open' and c.slot between v.from_slot and v.to_slot
          and ($2 is null or c.batch <= $2)
          and not ledger.is_retracted('control', c.slot, c.tx_index, c.step, c.child, c.mint, '', c.batch, $2))
    order by v.from_slot desc limit 1
$$;

-- Whether the current balances are known: nothing was read beyond the proven range from creation.
create function ledger.is_known(mint text) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce(
        (select k.to_slot from ledger.known_range($1) k)
        >= (select max(c.to_slot) from ledger.coverage_row c where c.mint = $1), false)
$$;

create view ledger.tracked as
select t.mint,
       least(t.from_slot, (select min(c.from_slot) from ledger.coverage_row c where c.mint = t.mint)) as from_slot,
       case when exists (select from ledger.known_range(t.mint)) then 'genesis' else 'unknown' end as opening
from ledger.tracked_row t;

-- What each instruction does to each visible balance, one row a side.
create function ledger.postings_known(mint text, slot bigint, known_batch bigint default null)
returns table (account text, delta numeric)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with rows as (
        select e.source, e.destination, e.amount, e.fee from ledger.event_row e
        where e.mint = $1 and e.slot <= $2 and ($3 is null or e.batch <= $3)
          and not ledger.is_retracted('event', e.slot, e.tx_index, e.step, e.child, e.mint, '', e.batch, $3)
    )
    select source, -amount::numeric from rows
    union all select destination, amount::numeric - fee from rows
    union all select 'withheld', fee::numeric from rows where fee > 0
$$;

create function ledger.balances_at(mint text, slot bigint, known_batch bigint default null)
returns table (account text, owner text, amount numeric, frozen boolean)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with known as (
        select 1 from ledger.known_range($1, $3) k where $2 between k.from_slot and k.to_slot
    ), sums as (
        select p.account, sum(p.delta) as amount from ledger.postings_known($1, $2, $3) p
        where p.account not in ('issuance', 'withheld', 'confidential') group by p.account
    ), last_touch as (
        select distinct on (t.account) t.account, t.post_owner as owner, t.post_amount
        from ledger.touch_row t
        where t.mint = $1 and t.slot <= $2 and ($3 is null or t.batch <= $3)
          and not ledger.is_retracted('touch', t.slot, t.tx_index, 0, 0, t.mint, t.account, t.batch, $3)
        order by t.account, t.slot desc, t.tx_index desc
    ), last_control as (
        select distinct on (c.account) c.account,
               c.kind = 'freeze' or (c.kind = 'open' and coalesce((c.details ->> 'frozen')::boolean, false)) as frozen
        from ledger.control_row c
        where c.mint = $1 and c.slot <= $2 and c.kind in ('freeze', 'thaw', 'open') and ($3 is null or c.batch <= $3)
          and not ledger.is_retracted('control', c.slot, c.tx_index, c.step, c.child, c.mint, '', c.batch, $3)
        order by c.account, c.slot desc, c.tx_index desc, c.step desc, c.child desc
    )
    select t.account, t.owner, coalesce(s.amount, 0), coalesce(f.frozen, false)
    from last_touch t
    left join sums s using (account)
    left join last_control f using (account)
    where exists (select from known) and t.post_amount is not null
    order by t.account collate "C"
$$;

create function ledger.supply_at(mint text, slot bigint, known_batch bigint default null) returns numeric
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce((select -sum(p.delta) from ledger.postings_known($1, $2, $3) p where p.account = 'issuance'), 0)
    from ledger.known_range($1, $3) k
    where $2 between k.from_slot and k.to_slot
$$;

create view ledger.supply as
select t.mint,
       coalesce(
           (select (c.details ->> 'decimals')::smallint from ledger.controls c
            where c.mint = t.mint and c.kind = 'mint_open' order by c.slot desc limit 1),
           (select max(h.decimals) from ledger.touch_row h where h.mint = t.mint)) as decimals,
       case when ledger.is_known(t.mint) then coalesce(s.supply, 0) end as supply,
       s.last_slot
from ledger.tracked_row t
left join lateral (
    select sum(case e.kind when 'mint' then e.amount::numeric when 'burn' then -e.amount::numeric end) as supply,
           max(e.slot) as last_slot
    from ledger.events e where e.mint = t.mint and e.kind in ('mint', 'burn')
) s on true;

-- One row per (mint, account): its current life, or its last.
create view ledger.balances as
with tracked as materialized (
    select t.mint, ledger.is_known(t.mint) as known from ledger.tracked_row t
), sums as (
    select mint, account, sum(delta) as amount from (
        select mint, source as account, -amount::numeric as delta from ledger.events where source is not null
        union all
        select mint, destination, amount::numeric - fee from ledger.events where destination is not null
    ) sides group by mint, account
), last_touch as (
    select distinct on (mint, account) mint, account, coalesce(post_owner, pre_owner) as owner, slot as last_slot
    from ledger.touches order by mint, account, slot desc, tx_index desc
), last_frozen as (
    select distinct on (mint, account) mint, account,
           kind = 'freeze' or (kind = 'open' and coalesce((details ->> 'frozen')::boolean, false)) as frozen
    from ledger.controls where kind in ('freeze', 'thaw', 'open')
    order by mint, account, slot desc, tx_index desc, step desc, child desc
), last_open as (
    select distinct on (mint, account) mint, account, slot, tx_index, step, child,
           details ->> 'owner' as owner
    from ledger.controls where kind = 'open'
    order by mint, account, slot desc, tx_index desc, step desc, child desc
), last_close as (
    select distinct on (mint, account) mint, account, slot, tx_index, step, child
    from ledger.controls where kind = 'close'
    order by mint, account, slot desc, tx_index desc, step desc, child desc
), accounts as (
    select mint, account from last_touch union select mint, account from last_open
    union select mint, account from last_close
)
select a.mint, a.account,
       coalesce(h.owner, o.owner) as owner,
       case when k.known then coalesce(s.amount, 0) end as amount,
       coalesce(f.frozen, false) as frozen,
       o.slot as opened_slot,
       case when o.slot is null or (c.slot, c.tx_index, c.step, c.child) > (o.slot, o.tx_index, o.step, o.child)
            then c.slot end as closed_slot,
       greatest(h.last_slot, o.slot, c.slot) as last_slot
from accounts a
join tracked k using (mint)
left join last_touch h using (mint, account)
left join sums s using (mint, account)
left join last_frozen f using (mint, account)
left join last_open o using (mint, account)
left join last_close c using (mint, account);

-- The exact value of the eight on-chain bytes (IEEE 754 binary64, little-endian): every finite
-- double is an integer times a power of two, so a decimal number without error. Null when not finite.
create function ledger.f64_exact(bits bytea) returns numeric
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
declare
    sign constant integer := get_byte(bits, 7) >> 7;
    exponent integer := ((get_byte(bits, 7) & 127) << 4) | (get_byte(bits, 6) >> 4);
    mantissa numeric := get_byte(bits, 6) & 15;
    power_of numeric := 1;
    base numeric;
    shift integer;
begin
    if octet_length(bits) <> 8 then
        raise exception 'a multiplier has 8 bytes, not %', octet_length(bits);
    end if;
    if exponent = 2047 then
        return null;
    end if;
    for i in reverse 5..0 loop
        mantissa := mantissa * 256 + get_byte(bits, i);
    end loop;
    if exponent = 0 then
        exponent := 1;
    else
        mantissa := mantissa + 4503599627370496;
    end if;
    exponent := exponent - 1075;
    while exponent < 0 and mantissa <> 0 and mantissa % 2 = 0 loop
        mantissa := trunc(mantissa / 2);
        exponent := exponent + 1;
    end loop;
    -- 2^-n = 5^n / 10^n: multiplying stays exact where dividing would round.
    base := case when exponent < 0 then 0.5 else 2 end;
    shift := abs(exponent);
    while shift > 0 loop
        if shift % 2 = 1 then
            power_of := power_of * base;
        end if;
        base := base * base;
        shift := shift / 2;
    end loop;
    return case when sign = 1 then -mantissa else mantissa end * power_of;
end $$;

-- Shares that a raw amount stands for, exact: raw x multiplier / 10^decimals. Rounding is the reader's.
create function ledger.shares(raw numeric, decimals integer, bits bytea) returns numeric
language sql immutable strict set search_path = pg_catalog, pg_temp as $$
    select $1 * ledger.f64_exact($3) * ('1e-' || $2::text)::numeric
$$;

-- A chain's i64 seconds as an instant; what lies beyond the calendar never comes.
create function ledger.instant(seconds numeric) returns timestamptz
language sql immutable strict set search_path = pg_catalog, pg_temp as $$
    select case when $1 > 9000000000000 then 'infinity'::timestamptz else to_timestamp(greatest($1, 0)::double precision) end
$$;

create function ledger.multipliers_known(known_batch bigint default null) returns table (
    mint text, effective_at timestamptz, announced_slot bigint, bits bytea, value numeric, superseded_slot bigint,
    tx_index integer, step integer, child integer, signature text
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with steps as (
        select c.mint, c.slot, c.tx_index, c.step, c.child, c.signature, c.block_time,
               decode(c.details ->> 'bits', 'hex') as bits,
               greatest(c.block_time, ledger.instant((c.details ->> 'effective_timestamp')::numeric)) as effective_at
        from ledger.controls_known($1) c where c.kind = 'multiplier'
    )
    select s.mint, s.effective_at, s.slot, s.bits, ledger.f64_exact(s.bits),
           -- replaced before its hour: it never counted
           (select min(n.slot) from steps n
            where n.mint = s.mint and n.block_time < s.effective_at
              and (n.slot, n.tx_index, n.step, n.child) > (s.slot, s.tx_index, s.step, s.child)),
           s.tx_index, s.step, s.child, s.signature
    from steps s
$$;

create view ledger.multipliers as
select mint, effective_at, announced_slot, bits, value, superseded_slot, signature from ledger.multipliers_known();

-- The eight bytes in force at an instant of the chain's clock; feed them to ledger.shares.
create function ledger.multiplier_at(mint text, at timestamptz, known_batch bigint default null) returns bytea
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select m.bits from ledger.multipliers_known($3) m
    where m.mint = $1 and m.superseded_slot is null and m.effective_at <= $2
    order by m.announced_slot desc, m.tx_index desc, m.step desc, m.child desc limit 1
$$;

create view ledger.provisional_events as
select slot, block_time, tx_index, step, child, path, signature, program, kind, mint,
       case when source in ('issuance', 'withheld', 'confidential') then null else source end as source,
       source_owner,
       case when destination in ('issuance', 'withheld', 'confidential') then null else destination end as destination,
       destination_owner, authority, authority_role, amount, fee, memo, batch, blockhash
from ledger.provisional_row;
