-- What was read is told of a cohort, a set of mints read together, and no longer of each mint: a commit writes one
-- row however many mints are followed. Marks sum them up, so that no reader walks them all. What coverage_row says of
-- single mints stays as true as before; new rows go to cohort_coverage_row.

set local lock_timeout = '30s';
set local statement_timeout = '1h';

-- Which mints a cohort is: written once, in the batch of its first row below, and never added to.
create table ledger.cohort_row (
    cohort bigint not null check (cohort > 0),
    mint text collate "C" not null,
    batch bigint not null references ledger.batch_row (batch) deferrable initially deferred,
    primary key (cohort, mint)
);
create index cohort_row_mint on ledger.cohort_row (mint, cohort);
create index cohort_row_batch on ledger.cohort_row (batch);

-- Slots read and committed for a cohort, inclusive. Overlaps are harmless: readers merge.
create table ledger.cohort_coverage_row (
    cohort bigint not null,
    from_slot bigint not null,
    to_slot bigint not null,
    batch bigint not null,
    primary key (batch, cohort, from_slot, to_slot),
    check (0 <= from_slot and from_slot <= to_slot)
);

-- All of a cohort's rows up to a batch, merged. Derived: outside the batch's hash, and worked out again by its audit.
-- A mark is taken of every cohort that got rows since the marks before, so that the rows after the last marks are all
-- that is not in one.
create table ledger.coverage_mark_row (
    cohort bigint not null,
    batch bigint not null,
    ranges int8multirange not null,
    primary key (cohort, batch)
);
create index coverage_mark_row_batch on ledger.coverage_mark_row (batch);

-- The same of coverage_row, a mint, as this migration found it.
create table ledger.coverage_before_row (
    mint text collate "C" primary key,
    batch bigint not null,
    ranges int8multirange not null
);
insert into ledger.coverage_before_row (mint, batch, ranges)
select c.mint, (select max(b.batch) from ledger.batch_row b), range_agg(int8range(c.from_slot, c.to_slot, '[]'))
from ledger.coverage_row c group by c.mint;
create index coverage_row_batch on ledger.coverage_row (batch, mint);

do $$
declare relation text;
begin
    foreach relation in array array['cohort_row', 'cohort_coverage_row', 'coverage_mark_row', 'coverage_before_row'] loop
        call ledger.make_append_only(('ledger.' || relation)::regclass);
    end loop;
end $$;

-- Sums up what came since the marks before, up to a batch.
create function ledger.mark_coverage(at_batch bigint) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    insert into ledger.coverage_mark_row (cohort, batch, ranges)
    select n.cohort, $1, n.ranges + coalesce((
               select k.ranges from ledger.coverage_mark_row k
               where k.cohort = n.cohort and k.batch < $1 order by k.batch desc limit 1), '{}')
    from (select r.cohort, range_agg(int8range(r.from_slot, r.to_slot, '[]')) as ranges
          from ledger.cohort_coverage_row r
          where r.batch > (select coalesce(max(k.batch), 0) from ledger.coverage_mark_row k) and r.batch <= $1
          group by r.cohort) n
$$;

-- What was read and committed for some mints (null: for all) as it was known at a batch, merged.
create function ledger.read_known(mints text[], known_batch bigint) returns table (mint text, ranges int8multirange)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with recursive of_old (mint) as (
        -- every mint of coverage_row, one step through its index each
        (select c.mint from ledger.coverage_row c order by c.mint limit 1)
        union all
        select (select c.mint from ledger.coverage_row c where c.mint > o.mint order by c.mint limit 1)
        from of_old o where o.mint is not null
    ), known as materialized (
        select u.batch as until, (
            select coalesce(max(k.batch), 0) from ledger.coverage_mark_row k where k.batch <= u.batch) as marked
        from (select coalesce($2::bigint, 9223372036854775807) as batch) u
    ), members as materialized (
        select m.cohort, m.mint from ledger.cohort_row m
        where ($1::text[] is null or m.mint = any ($1::text[])) and m.batch <= (select until from known)
    ), by_cohort as (
        select c.cohort, k.ranges
        from (select distinct m.cohort from members m) c
        cross join lateral (
            select k.ranges from ledger.coverage_mark_row k
            where k.cohort = c.cohort and k.batch <= (select until from known) order by k.batch desc limit 1) k
        union all
        select r.cohort, range_agg(int8range(r.from_slot, r.to_slot, '[]'))
        from ledger.cohort_coverage_row r
        where r.batch > (select marked from known) and r.batch <= (select until from known)
        group by r.cohort
    ), by_mint as (
        select o.mint, b.ranges, coalesce(b.batch, 0) as batch
        from (select distinct w.mint from unnest($1::text[]) as w (mint)
              union all select o.mint from of_old o where $1::text[] is null and o.mint is not null) o
        left join ledger.coverage_before_row b on b.mint = o.mint and b.batch <= (select until from known)
    ), parts as (
        select m.mint, c.ranges from members m join by_cohort c using (cohort)
        union all
        select b.mint, b.ranges from by_mint b
        union all
        select b.mint, r.ranges
        from by_mint b
        cross join lateral (
            select range_agg(int8range(c.from_slot, c.to_slot, '[]')) as ranges from ledger.coverage_row c
            where c.mint = b.mint and c.batch > b.batch and c.batch <= (select until from known)) r
    )
    select p.mint, range_agg(p.ranges) from parts p where p.ranges is not null group by p.mint
$$;

-- Proven ranges: what was read and committed, merged, and cut where the mint's first
-- open quarantine stands: from there the mint is unproven.
create or replace function ledger.coverage_known(known_batch bigint default null)
returns table (mint text, from_slot bigint, to_slot bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with doubt as (
        select q.mint, min(q.slot) as slot
        from ledger.quarantine_row q
        where ($1 is null or q.batch <= $1)
          and not ledger.is_retracted('quarantine', q.slot, q.tx_index, q.step, q.child, q.mint, '', q.batch, $1)
        group by q.mint
    )
    select r.mint, lower(range), upper(range) - 1
    from ledger.read_known(null, $1) r
    left join doubt d on d.mint = r.mint
    cross join lateral unnest(
        case when d.slot is null then r.ranges else r.ranges * int8multirange(int8range(null, d.slot)) end) as range
    order by r.mint collate "C", 2
$$;

-- Nothing was read beyond the proven range, in whatever way.
create or replace function ledger.is_known(mint text) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce(
        (select k.to_slot from ledger.known_range($1) k) >= (
            select max(r.to_slot) from (
                select upper(c.ranges) - 1 as to_slot from ledger.read_known(array[$1], null) c
                union all select l.to_slot from ledger.listed_row l where l.mint = $1) r), false)
$$;

create or replace view ledger.tracked as
select t.mint, least(t.from_slot, lower(r.ranges)) as from_slot, coalesce(b.opening, 'unknown') as opening
from ledger.tracked_row t
left join ledger.read_known(null, null) r on r.mint = t.mint
left join (
    select distinct on (o.mint) o.mint, o.opening from ledger.bases_known() o order by o.mint, o.from_slot desc
) b on b.mint = t.mint;

create or replace view ledger.listed as
with listed as (
    select mint, range_agg(int8range(from_slot, to_slot, '[]')) as ranges from ledger.listed_row group by mint
)
select l.mint, lower(range) as from_slot, upper(range) - 1 as to_slot
from listed l left join ledger.read_known(null, null) c on c.mint = l.mint
cross join lateral unnest(l.ranges - coalesce(c.ranges, '{}'::int8multirange)) as range;
