-- Audits and their findings, accepted holes, snapshots as an opening, listings as a weaker source,
-- evidence that moves to files, the endpoints' standing, and state over time.

set local lock_timeout = '30s';
set local statement_timeout = '1h';

-- A parked slot that a person gave up: a hole for good, and who answers for it. Read again with
-- success (index repair), its slots are covered; the row stays.
create table ledger.hole_row (
    from_slot bigint not null check (from_slot >= 0),
    to_slot bigint not null,
    reason text not null,
    accepted_by text not null,
    at timestamptz not null,
    batch bigint not null,
    primary key (from_slot, to_slot, batch),
    check (from_slot <= to_slot)
);

-- What an audit found to differ, with both values. The rows of one (audit, subject) tell its story:
-- open, open with other values, close with the evidence that it holds again.
create table ledger.finding_row (
    audit text collate "C" not null,
    subject text collate "C" not null,
    mint text collate "C",
    slot bigint,
    action text collate "C" not null check (action in ('open', 'close')),
    expected text not null,
    found text not null,
    evidence text not null,
    at timestamptz not null,
    batch bigint not null,
    primary key (audit, subject, batch)
);

-- The state of a mint read whole at a slot. Its accounts are touches of that slot in which nothing
-- changes, at the place after the last transaction: ledger.snapshot_index().
create table ledger.opening_row (
    mint text collate "C" not null,
    slot bigint not null,
    decimals smallint not null,
    supply ledger.u64 not null,
    withheld ledger.u64 not null,
    hidden ledger.u64 not null,
    accounts integer not null,
    batch bigint not null,
    primary key (mint, slot)
);

-- Slots read through getSignaturesForAddress: each transaction proven by itself, completeness on the
-- node's word. Never coverage.
create table ledger.listed_row (
    mint text collate "C" not null,
    from_slot bigint not null,
    to_slot bigint not null,
    batch bigint not null,
    primary key (mint, from_slot, to_slot, batch),
    check (0 <= from_slot and from_slot <= to_slot)
);

-- Evidence whose bytes were moved to files: which, how many, and the hash of the list of them.
create table ledger.detachment_row (
    before_slot bigint not null,
    files bigint not null,
    bytes bigint not null,
    manifest_sha256 bytea not null check (octet_length(manifest_sha256) = 32),
    at timestamptz not null,
    batch bigint not null,
    primary key (batch)
);

-- How each node has done lately, by the daemon that asks it. Replaced, not kept: no ledger row.
create table ledger.endpoint_standing (
    endpoint text collate "C" primary key,
    standing text collate "C" not null
        check (standing in ('good', 'silent', 'rate_limited', 'lagging', 'pruned', 'lying')),
    requests bigint not null,
    failures bigint not null,
    rate_limited bigint not null,
    disagreements bigint not null,
    latency_s double precision not null,
    finalized_slot bigint,
    lag_slots bigint,
    first_slot bigint,
    seen_at timestamptz not null default clock_timestamp()
);

do $$
declare relation text;
begin
    foreach relation in array array['hole_row', 'finding_row', 'opening_row', 'listed_row', 'detachment_row'] loop
        call ledger.make_append_only(('ledger.' || relation)::regclass);
    end loop;
end $$;

-- The place of a snapshot within its slot: after every transaction.
create function ledger.snapshot_index() returns integer language sql immutable as $$ select 2147483647 $$;

create view ledger.holes as
select from_slot, to_slot, reason, accepted_by, at as accepted_at, batch from ledger.hole_row;

create view ledger.findings as
with told as (
    select f.*, count(*) filter (where f.action = 'close') over (
        partition by f.audit, f.subject order by f.batch rows between unbounded preceding and 1 preceding) as episode
    from ledger.finding_row f
)
select audit, subject, mint,
       (array_agg(slot order by batch desc) filter (where action = 'open'))[1] as slot,
       (array_agg(expected order by batch desc) filter (where action = 'open'))[1] as expected,
       (array_agg(found order by batch desc) filter (where action = 'open'))[1] as found,
       min(at) filter (where action = 'open') as opened_at,
       min(batch) filter (where action = 'open') as opened_batch,
       max(at) filter (where action = 'close') as closed_at,
       max(batch) filter (where action = 'close') as closed_batch,
       max(evidence) filter (where action = 'close') as evidence
from told
group by audit, subject, mint, episode;

create view ledger.endpoints as
select endpoint, standing, requests, failures, rate_limited, disagreements, latency_s, finalized_slot, lag_slots,
       first_slot, seen_at
from ledger.endpoint_standing;

create view ledger.openings as
select mint, slot, decimals, supply, withheld, hidden, accounts, batch from ledger.opening_row;

create view ledger.detachments as
select before_slot, files, bytes, manifest_sha256, at, batch from ledger.detachment_row;

-- Listed and not proven: what block mode has read since is coverage, and no longer weaker.
create view ledger.listed as
with listed as (
    select mint, range_agg(int8range(from_slot, to_slot, '[]')) as ranges from ledger.listed_row group by mint
), covered as (
    select mint, range_agg(int8range(from_slot, to_slot, '[]')) as ranges from ledger.coverage_row group by mint
)
select l.mint, lower(range) as from_slot, upper(range) - 1 as to_slot
from listed l left join covered c using (mint)
cross join lateral unnest(l.ranges - coalesce(c.ranges, '{}'::int8multirange)) as range;

create or replace view ledger.evidence as
select slot, tx_index, encoding, endpoint, sha256, body, octet_length(body) = 0 as detached from ledger.evidence_row;

-- Where figures begin to be known: in a proven range with the mint's creation they are sums from nothing, in one
-- with a snapshot they are the snapshot and what came after it. One row a proven range that has either.
create function ledger.bases_known(known_batch bigint default null) returns table (
    mint text, from_slot bigint, to_slot bigint, after_slot bigint, opening text
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with covered as materialized (select * from ledger.coverage_known($1)),
    born as (
        select c.mint, c.slot from ledger.control_row c
        where c.kind = 'mint_open' and ($1 is null or c.batch <= $1)
          and not ledger.is_retracted('control', c.slot, c.tx_index, c.step, c.child, c.mint, '', c.batch, $1)
    )
    select v.mint, v.from_slot, v.to_slot, -1::bigint, 'genesis'
    from covered v
    where exists (select from born b where b.mint = v.mint and b.slot between v.from_slot and v.to_slot)
    union all
    select v.mint, o.slot, v.to_slot, o.slot, 'snapshot'
    from covered v
    cross join lateral (
        select o.slot from ledger.opening_row o
        where o.mint = v.mint and o.slot between v.from_slot - 1 and v.to_slot and ($1 is null or o.batch <= $1)
        order by o.slot limit 1) o
    where not exists (select from born b where b.mint = v.mint and b.slot between v.from_slot and v.to_slot)
$$;

create or replace function ledger.known_range(mint text, known_batch bigint default null)
returns table (from_slot bigint, to_slot bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select b.from_slot, b.to_slot from ledger.bases_known($2) b where b.mint = $1 order by b.from_slot desc limit 1
$$;

-- Nothing was read beyond the proven range, in whatever way.
create or replace function ledger.is_known(mint text) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce(
        (select k.to_slot from ledger.known_range($1) k) >= (
            select max(r.to_slot) from (
                select c.to_slot from ledger.coverage_row c where c.mint = $1
                union all select l.to_slot from ledger.listed_row l where l.mint = $1) r), false)
$$;

create or replace view ledger.tracked as
select t.mint,
       least(t.from_slot, (select min(c.from_slot) from ledger.coverage_row c where c.mint = t.mint)) as from_slot,
       coalesce((select b.opening from ledger.bases_known() b where b.mint = t.mint order by b.from_slot desc limit 1),
                'unknown') as opening
from ledger.tracked_row t;

create or replace function ledger.postings_known(mint text, slot bigint, known_batch bigint default null)
returns table (account text, delta numeric)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with basis as materialized (
        select coalesce((
            select b.after_slot from ledger.bases_known($3) b
            where b.mint = $1 and $2 between b.from_slot and b.to_slot order by b.from_slot desc limit 1), -1) as after_slot
    ), rows as (
        select e.source, e.destination, e.amount, e.fee from ledger.event_row e
        where e.mint = $1 and e.slot <= $2 and e.slot > (select after_slot from basis) and ($3 is null or e.batch <= $3)
          and not ledger.is_retracted('event', e.slot, e.tx_index, e.step, e.child, e.mint, '', e.batch, $3)
    ), opening as (
        select o.* from ledger.opening_row o where o.mint = $1 and o.slot = (select after_slot from basis)
    )
    select source, -amount::numeric from rows
    union all select destination, amount::numeric - fee from rows
    union all select 'withheld', fee::numeric from rows where fee > 0
    union all
    select t.account, t.post_amount::numeric from opening o
    join ledger.touch_row t on t.mint = o.mint and t.slot = o.slot and t.tx_index = ledger.snapshot_index()
    union all select 'issuance', -supply::numeric from opening
    union all select 'withheld', withheld::numeric from opening
    union all select 'confidential', hidden::numeric from opening
$$;

create or replace function ledger.balances_at(mint text, slot bigint, known_batch bigint default null)
returns table (account text, owner text, amount numeric, frozen boolean)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with known as (
        select 1 from ledger.bases_known($3) b where b.mint = $1 and $2 between b.from_slot and b.to_slot
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

create or replace function ledger.supply_at(mint text, slot bigint, known_batch bigint default null) returns numeric
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce((select -sum(p.delta) from ledger.postings_known($1, $2, $3) p where p.account = 'issuance'), 0)
    from (select 1 from ledger.bases_known($3) b
          where b.mint = $1 and $2 between b.from_slot and b.to_slot limit 1) known
$$;

-- Fees withheld and not yet paid out, over all accounts and the mint; null where unknown.
create function ledger.withheld_at(mint text, slot bigint, known_batch bigint default null) returns numeric
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce((select sum(p.delta) from ledger.postings_known($1, $2, $3) p where p.account = 'withheld'), 0)
    from (select 1 from ledger.bases_known($3) b
          where b.mint = $1 and $2 between b.from_slot and b.to_slot limit 1) known
$$;

create or replace view ledger.supply as
with bases as materialized (
    select distinct on (b.mint) b.mint, b.after_slot from ledger.bases_known() b order by b.mint, b.from_slot desc
)
select t.mint,
       coalesce(
           (select (c.details ->> 'decimals')::smallint from ledger.controls c
            where c.mint = t.mint and c.kind = 'mint_open' order by c.slot desc limit 1),
           (select max(h.decimals) from ledger.touch_row h where h.mint = t.mint)) as decimals,
       case when ledger.is_known(t.mint) then coalesce(o.supply::numeric, 0) + coalesce(s.supply, 0) end as supply,
       s.last_slot
from ledger.tracked_row t
left join bases b using (mint)
left join ledger.opening_row o on o.mint = t.mint and o.slot = b.after_slot
left join lateral (
    select sum(case e.kind when 'mint' then e.amount::numeric when 'burn' then -e.amount::numeric end) as supply,
           max(e.slot) as last_slot
    from ledger.events e where e.mint = t.mint and e.kind in ('mint', 'burn') and e.slot > coalesce(b.after_slot, -1)
) s on true;

create or replace view ledger.balances as
with bases as materialized (
    select distinct on (b.mint) b.mint, b.after_slot from ledger.bases_known() b order by b.mint, b.from_slot desc
), tracked as materialized (
    select t.mint, ledger.is_known(t.mint) as known, coalesce(b.after_slot, -1) as after_slot
    from ledger.tracked_row t left join bases b using (mint)
), sums as (
    select mint, account, sum(delta) as amount from (
        select e.mint, e.source as account, -e.amount::numeric as delta
        from ledger.events e join tracked k using (mint) where e.source is not null and e.slot > k.after_slot
        union all
        select e.mint, e.destination, e.amount::numeric - e.fee
        from ledger.events e join tracked k using (mint) where e.destination is not null and e.slot > k.after_slot
        union all
        select t.mint, t.account, t.post_amount::numeric
        from tracked k join ledger.touch_row t on t.mint = k.mint and t.slot = k.after_slot
        where t.tx_index = ledger.snapshot_index()
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

-- Who owned an account from when to when: by opening, owner change and closing; before the first of
-- them, by what the node said when it was first seen. to_… null: still so.
create view ledger.owners as
with said as (
    select c.mint, c.account, c.slot, c.tx_index, c.step, c.child, c.block_time, c.signature, c.authority, c.kind as how,
           case c.kind
               when 'open' then c.details ->> 'owner'
               when 'owner' then coalesce(c.details ->> 'new', (
                   select t.post_owner from ledger.touches t
                   where t.slot = c.slot and t.tx_index = c.tx_index and t.mint = c.mint and t.account = c.account
                   order by t.batch desc limit 1)) end as owner
    from ledger.controls c where c.kind in ('open', 'owner', 'close') and c.account is not null
), seen as (
    select distinct on (t.mint, t.account) t.mint, t.account, t.slot, t.tx_index, -1 as step, -1 as child,
           null::timestamptz as block_time, null::text as signature, null::text as authority,
           case t.tx_index when ledger.snapshot_index() then 'snapshot' else 'seen' end as how, t.pre_owner as owner
    from ledger.touches t
    order by t.mint, t.account, t.slot, t.tx_index
), spans as (
    select mint, account, owner, how, slot, tx_index, step, child, block_time, signature, authority,
           lead(slot) over later as to_slot, lead(tx_index) over later as to_tx_index, lead(step) over later as to_step,
           lead(block_time) over later as to_time, lead(how) over later as ended_by
    from (select * from said union all select * from seen where owner is not null) told
    window later as (partition by mint, account order by slot, tx_index, step, child)
)
select mint, account, owner, how, slot as from_slot, tx_index as from_tx_index, step as from_step,
       block_time as from_time, signature, authority as set_by, to_slot, to_tx_index, to_step, to_time, ended_by
from spans where owner is not null;

create view ledger.frozen as
with said as (
    select c.*, c.kind = 'freeze' or (c.kind = 'open' and coalesce((c.details ->> 'frozen')::boolean, false)) as frozen
    from ledger.controls c where c.kind in ('freeze', 'thaw', 'open', 'close') and c.account is not null
), edges as (
    select * from (
        select s.*, lag(s.frozen, 1, false) over (
            partition by s.mint, s.account order by s.slot, s.tx_index, s.step, s.child) as before
        from said s) compared
    where frozen <> before
), spans as (
    select e.*, lead(e.slot) over later as to_slot, lead(e.block_time) over later as to_time,
           lead(e.authority) over later as thawed_by, lead(e.signature) over later as to_signature,
           lead(e.kind) over later as ended_by
    from edges e window later as (partition by e.mint, e.account order by e.slot, e.tx_index, e.step, e.child)
)
select mint, account, slot as from_slot, block_time as from_time, authority as frozen_by, signature as from_signature,
       kind as how, to_slot, to_time, thawed_by, to_signature, ended_by
from spans where frozen;

create view ledger.paused as
with edges as (
    select * from (
        select c.*, lag(c.kind, 1, 'resume') over (
            partition by c.mint order by c.slot, c.tx_index, c.step, c.child) as before
        from ledger.controls c where c.kind in ('pause', 'resume')) compared
    where kind <> before
), spans as (
    select e.*, lead(e.slot) over later as to_slot, lead(e.block_time) over later as to_time,
           lead(e.authority) over later as resumed_by, lead(e.signature) over later as to_signature
    from edges e window later as (partition by e.mint order by e.slot, e.tx_index, e.step, e.child)
)
select mint, slot as from_slot, block_time as from_time, authority as paused_by, signature as from_signature,
       to_slot, to_time, resumed_by, to_signature
from spans where kind = 'pause';

-- Who could do what, from when to when. type: as set_authority names it; authority null: nobody, for good.
create view ledger.authorities as
with said as (
    select c.mint, null::text as account, a.type, c.details ->> a.field as authority, c.slot, c.tx_index, c.step, c.child,
           c.block_time, c.signature, c.authority as set_by, c.kind as how
    from ledger.controls c
    join (values
        ('mint_open', 'mint_authority', 'mint_tokens'), ('mint_open', 'freeze_authority', 'freeze_account'),
        ('transfer_fee', 'transfer_fee_config_authority', 'transfer_fee_config'),
        ('transfer_fee', 'withdraw_withheld_authority', 'withheld_withdraw'),
        ('mint_close_authority', 'close_authority', 'close_mint'),
        ('interest_rate', 'rate_authority', 'interest_rate'),
        ('permanent_delegate', 'delegate', 'permanent_delegate'),
        ('confidential_policy', 'authority', 'confidential_transfer_mint'),
        ('hook', 'authority', 'transfer_hook_program_id'),
        ('confidential_fee', 'authority', 'confidential_transfer_fee_config'),
        ('metadata_pointer', 'authority', 'metadata_pointer'), ('group_pointer', 'authority', 'group_pointer'),
        ('group_member_pointer', 'authority', 'group_member_pointer'),
        ('multiplier', 'authority', 'scaled_ui_amount'), ('pausable', 'authority', 'pause'),
        ('permissioned_burn', 'authority', 'permissioned_burn'),
        ('metadata', 'new_update_authority', 'metadata_update'),
        ('group', 'update_authority', 'group_update'), ('group', 'new_update_authority', 'group_update')
    ) as a (kind, field, type) on a.kind = c.kind
    where c.details ? a.field
    union all
    select c.mint, c.account, c.details ->> 'type', c.details ->> 'new', c.slot, c.tx_index, c.step, c.child,
           c.block_time, c.signature, c.authority, c.kind
    from ledger.controls c where c.kind = 'authority'
    union all
    select c.mint, null, a.key, a.value #>> '{}', c.slot, c.tx_index, c.step, c.child, c.block_time, null, null, 'snapshot'
    from ledger.controls c cross join lateral jsonb_each(c.details -> 'authorities') as a (key, value)
    where c.kind = 'snapshot'
)
select mint, account, type, authority, slot as from_slot, tx_index as from_tx_index, step as from_step,
       block_time as from_time, signature, set_by, how,
       lead(slot) over later as to_slot, lead(block_time) over later as to_time
from said
window later as (partition by mint, account, type order by slot, tx_index, step, child);

-- Empties the bodies of all evidence before a slot, once they lie in files: each partition is written anew
-- without them, so that the space is free at once. Rows and their hashes stay. For the owner alone; the commit
-- lock keeps writers out, and the count must be that of the files.
create function ledger.detach_evidence(before_slot bigint, expected_rows bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    span constant bigint := 10000000;
    found_rows bigint;
    part record;
    lower_slot bigint;
begin
    perform w.epoch from ledger.writer w for update;
    select count(*) into found_rows from ledger.evidence_row e where e.slot < before_slot and octet_length(e.body) > 0;
    if found_rows <> expected_rows then
        raise exception 'the ledger has % pieces of evidence before slot %, the files are %: detach again',
            found_rows, before_slot, expected_rows;
    end if;
    for part in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'ledger.evidence_row'::regclass order by c.relname
    loop
        lower_slot := substring(part.relname from '[0-9]+$')::bigint * span;
        continue when lower_slot >= before_slot;
        execute format('create table ledger.%I (like ledger.evidence_row including defaults including constraints)',
            part.relname || '_kept');
        execute format('insert into ledger.%I select slot, tx_index, encoding, endpoint, sha256,'
            ' case when slot < $1 then ''''::bytea else body end, batch from ledger.%I', part.relname || '_kept', part.relname)
            using before_slot;
        execute format('alter table ledger.evidence_row detach partition ledger.%I', part.relname);
        execute format('drop table ledger.%I', part.relname);
        execute format('alter table ledger.%I rename to %I', part.relname || '_kept', part.relname);
        execute format('alter table ledger.evidence_row attach partition ledger.%I for values from (%s) to (%s)',
            part.relname, lower_slot, lower_slot + span);
        call ledger.make_append_only(format('ledger.%I', part.relname)::regclass);
    end loop;
end $$;
revoke execute on function ledger.detach_evidence(bigint, bigint) from public;
