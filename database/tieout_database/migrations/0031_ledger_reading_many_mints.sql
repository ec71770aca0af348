-- Reading many mints at once: each account is looked for at its own mint alone, and what was taken back is joined, for
-- a function that asks a table is run anew for every row.

set local lock_timeout = '30s';
set local statement_timeout = '1h';

-- As in 0012.
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
    -- the issuer's accounts, and at its place the mint of each
    ours text[];
    theirs text[];
    -- of the mints opened by a snapshot: the slot after which their movements count
    opened_at jsonb;
begin
    select coalesce(jsonb_object_agg(b.mint, b.slot), '{}') into opened_at
    from ledger.counted_after($1, $2, $3) b where b.slot >= 0;
    select array_agg(found.account), array_agg(found.mint) into ours, theirs from (
        select a.mint, a.account from ledger.accounts_of($1, $4) a
        union select c.mint, c.account from ledger.owner_changes_known($1, $2, $3) c
        union select m.mint, a.account from unnest($1) as m(mint) cross join unnest($5) as a(account)
        union
        -- tokens that passed through an account opened and closed in the same transaction
        select t.mint, x.account
        from ledger.touch_row t
        join ledger.event_row e on e.slot = t.slot and e.tx_index = t.tx_index and e.mint = t.mint
        cross join lateral (values (e.source, e.source_owner), (e.destination, e.destination_owner)) as x(account, owner)
        where t.decimals is null and t.mint = any ($1) and t.slot <= $2 and x.owner = any ($4)
    ) found;
    return query execute $query$
        with places as materialized (
            select distinct t.slot, t.tx_index
            from unnest($6, $8) as o(account, mint)
            cross join lateral (
                select t.slot, t.tx_index from ledger.touch_row t
                where t.mint = o.mint and t.account = o.account and t.slot <= $2
            ) t
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
              and not exists (
                  select from ledger.retraction_row r
                  where r.relation = 'event' and r.slot = e.slot and r.tx_index = e.tx_index and r.step = e.step
                    and r.child = e.child and r.mint = e.mint and r.account = '' and r.row_batch = e.batch
                    and r.batch <= $3)
            union all
            select o.* from opened o where o.destination = any ($6)
            union all
            select o.mint, o.slot, o.tx_index, min(o.step), -1, o.block_time, '', 'opening', null, null, null, null, null,
                   null, sum(o.amount::numeric)::ledger.u64, 0::ledger.u64, null
            from opened o where (o.destination = any ($6)) is not true
            group by o.mint, o.slot, o.tx_index, o.block_time
        )
        select * from told e order by e.slot, e.tx_index, e.step, e.child
    $query$ using mints, to_slot, known_batch, owners, accounts, ours, opened_at, theirs;
end $$;

-- As in 0012, each mint's part found once and not once a mint.
create or replace function ledger.mint_states_known(mints text[], at_slot bigint, known_batch bigint) returns table (
    mint text, known_from bigint, known_to bigint, covered_to bigint, decimals integer, supply numeric
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with covered as materialized (
        select c.mint, max(c.to_slot) as to_slot from ledger.coverage_known($3) c where c.mint = any ($1) group by c.mint
    ), opened as materialized (
        select distinct on (c.mint) c.mint, (c.details ->> 'decimals')::integer as decimals
        from ledger.control_row c
        where c.mint = any ($1) and c.kind in ('mint_open', 'snapshot') and c.slot <= $2 and c.batch <= $3
          and not ledger.is_retracted('control', c.slot, c.tx_index, c.step, c.child, c.mint, '', c.batch, $3)
        order by c.mint, c.slot desc, c.tx_index desc, c.step desc
    ), known as materialized (
        -- the range that holds the slot; else the last one, so that the reader can say how far it reaches
        select distinct on (b.mint) b.mint, b.from_slot, b.to_slot, b.after_slot
        from ledger.bases_of($1, $3) b order by b.mint, $2 between b.from_slot and b.to_slot desc, b.from_slot desc
    )
    select m.mint, k.from_slot, k.to_slot, c.to_slot, o.decimals,
           case when $2 between k.from_slot and k.to_slot then (
               select coalesce(sum(case e.kind when 'mint' then e.amount::numeric else -e.amount::numeric end), 0)
               from ledger.event_row e
               where e.mint = m.mint and e.kind in ('mint', 'burn') and e.slot <= $2 and e.slot > k.after_slot
                 and e.batch <= $3
                 and not exists (
                     select from ledger.retraction_row r
                     where r.relation = 'event' and r.slot = e.slot and r.tx_index = e.tx_index and r.step = e.step
                       and r.child = e.child and r.mint = e.mint and r.account = '' and r.row_batch = e.batch
                       and r.batch <= $3)
           ) + coalesce((
               select max(s.supply::numeric) from ledger.opening_row s
               where s.mint = m.mint and s.slot = k.after_slot and s.batch <= $3), 0) end
    from unnest($1) as m(mint)
    left join known k on k.mint = m.mint
    left join covered c on c.mint = m.mint
    left join opened o on o.mint = m.mint
$$;
