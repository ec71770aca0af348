-- What a reconciliation reads of the ledger, for all its mints at once: only what can cross the
-- issuer's boundary leaves the database, transfers between outsiders stay in it. The general
-- functions of 0002 filter after the fact, since a SECURITY DEFINER function is never inlined; these
-- filter inside. EXECUTE plans each call for the mints and wallets that it is given.

set local lock_timeout = '30s';
set local statement_timeout = '1h';

create index event_row_supply on ledger.event_row (mint, slot) where kind in ('mint', 'burn');
-- Which accounts an owner ever had, by the node's own word. Equal keys are stored once a page.
create index touch_row_owner on ledger.touch_row (post_owner, mint, account);
-- Accounts that lived within one transaction: the node names no owner, the event row may.
create index touch_row_passing on ledger.touch_row (mint, slot, tx_index) where decimals is null;
create index slot_row_time on ledger.slot_row (block_time, slot);

-- The accounts of the mints that an owner ever had, whatever slot and batch: a superset to be filtered.
-- It leaps from one account to the next, so a venue's million movements cost no more than one.
create function ledger.accounts_of(mints text[], owners text[]) returns table (mint text, account text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
    return query execute $query$
        with recursive leaps as (
            select o.owner, t.mint, t.account
            from unnest($2) as o(owner)
            cross join lateral (
                select t.mint, t.account from ledger.touch_row t
                where t.post_owner = o.owner order by t.mint, t.account limit 1) t
            union all
            select l.owner, t.mint, t.account
            from leaps l
            cross join lateral (
                select t.mint, t.account from ledger.touch_row t
                where t.post_owner = l.owner and (t.mint, t.account) > (l.mint, l.account)
                order by t.mint, t.account limit 1) t
        )
        select distinct l.mint, l.account from leaps l where l.mint = any ($1)
    $query$ using mints, owners;
end $$;

-- SetAuthority on token accounts; where the instruction hid the new owner, the node's balances tell.
create function ledger.owner_changes_known(mints text[], to_slot bigint, known_batch bigint) returns table (
    mint text, slot bigint, tx_index integer, step integer, child integer, block_time timestamptz, signature text,
    account text, authority text, new_owner text
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select c.mint, c.slot, c.tx_index, c.step, c.child, c.block_time, c.signature, c.account, c.authority,
           coalesce(c.details ->> 'new', (
               select t.post_owner from ledger.touch_row t
               where t.slot = c.slot and t.tx_index = c.tx_index and t.mint = c.mint and t.account = c.account
                 and t.batch <= $3
                 and not ledger.is_retracted('touch', t.slot, t.tx_index, 0, 0, t.mint, t.account, t.batch, $3)
               order by t.batch desc limit 1))
    from ledger.control_row c
    where c.mint = any ($1) and c.kind = 'owner' and c.slot <= $2 and c.account is not null and c.batch <= $3
      and not ledger.is_retracted('control', c.slot, c.tx_index, c.step, c.child, c.mint, '', c.batch, $3)
    order by c.slot, c.tx_index, c.step, c.child
$$;

-- What the accounts of the given owners, and the given accounts, hold at a slot, by the node's own
-- figures: a second source beside the sum of the movements.
create function ledger.wallet_balances_known(
    mints text[], at_slot bigint, known_batch bigint, owners text[], accounts text[]
) returns table (mint text, account text, owner text, amount numeric)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
    return query execute $query$
        with candidates as materialized (
            select a.mint, a.account from ledger.accounts_of($1, $4) a
            union select m.mint, a.account from unnest($1) as m(mint) cross join unnest($5) as a(account)
        )
        select c.mint, c.account, t.post_owner, t.post_amount::numeric
        from candidates c
        cross join lateral (
            select t.post_owner, t.post_amount from ledger.touch_row t
            where t.mint = c.mint and t.account = c.account and t.slot <= $2 and t.batch <= $3
              and not ledger.is_retracted('touch', t.slot, t.tx_index, 0, 0, t.mint, t.account, t.batch, $3)
            order by t.slot desc, t.tx_index desc limit 1) t
        where t.post_amount is not null and (t.post_owner = any ($4) or c.account = any ($5))
        order by c.mint collate "C", c.account collate "C"
    $query$ using mints, at_slot, known_batch, owners, accounts;
end $$;

-- Every mint and burn, and every event of an account that one of the owners ever had, that is one of
-- the accounts, or that ever changed its owner: all else moves tokens between outsiders.
create function ledger.boundary_events_known(
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
begin
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
        ), events as (
            select e.* from ledger.event_row e
            where e.kind in ('mint', 'burn') and e.mint = any ($1) and e.slot <= $2
            union all
            select e.* from places p join ledger.event_row e on e.slot = p.slot and e.tx_index = p.tx_index
            where e.kind not in ('mint', 'burn') and e.mint = any ($1)
              and (e.source = any ($6) or e.destination = any ($6))
        )
        select e.mint, e.slot, e.tx_index, e.step, e.child, e.block_time, e.signature, e.kind,
               case when e.source in ('issuance', 'withheld', 'confidential') then null else e.source end,
               e.source_owner,
               case when e.destination in ('issuance', 'withheld', 'confidential') then null else e.destination end,
               e.destination_owner, e.authority, e.authority_role, e.amount, e.fee, e.memo
        from events e
        where e.batch <= $3
          and not ledger.is_retracted('event', e.slot, e.tx_index, e.step, e.child, e.mint, '', e.batch, $3)
        order by e.slot, e.tx_index, e.step, e.child
    $query$ using mints, to_slot, known_batch, owners, accounts, ours;
end $$;

-- Each mint's proven range from its creation, how far anything of it is read, decimals and supply.
create function ledger.mint_states_known(mints text[], at_slot bigint, known_batch bigint) returns table (
    mint text, known_from bigint, known_to bigint, covered_to bigint, decimals integer, supply numeric
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with covered as materialized (
        select c.mint, c.from_slot, c.to_slot from ledger.coverage_known($3) c where c.mint = any ($1)
    ), opened as materialized (
        select c.mint, c.slot, c.tx_index, c.step, (c.details ->> 'decimals')::integer as decimals
        from ledger.control_row c
        where c.mint = any ($1) and c.kind = 'mint_open' and c.batch <= $3
          and not ledger.is_retracted('control', c.slot, c.tx_index, c.step, c.child, c.mint, '', c.batch, $3)
    ), known as materialized (
        select distinct on (c.mint) c.mint, c.from_slot, c.to_slot
        from covered c join opened o on o.mint = c.mint and o.slot between c.from_slot and c.to_slot
        order by c.mint, c.from_slot desc
    )
    select m.mint, k.from_slot, k.to_slot,
           (select max(c.to_slot) from covered c where c.mint = m.mint),
           (select o.decimals from opened o where o.mint = m.mint and o.slot <= $2
            order by o.slot desc, o.tx_index desc, o.step desc limit 1),
           case when $2 between k.from_slot and k.to_slot then (
               select coalesce(sum(case e.kind when 'mint' then e.amount::numeric else -e.amount::numeric end), 0)
               from ledger.event_row e
               where e.mint = m.mint and e.kind in ('mint', 'burn') and e.slot <= $2 and e.batch <= $3
                 and not ledger.is_retracted('event', e.slot, e.tx_index, e.step, e.child, e.mint, '', e.batch, $3)
           ) end
    from unnest($1) as m(mint)
    left join known k on k.mint = m.mint
$$;

-- As ledger.multipliers_known, for some mints: it reads no other mint's steps.
create function ledger.mint_multipliers_known(mints text[], known_batch bigint) returns table (
    mint text, announced_slot bigint, tx_index integer, step integer, child integer, effective_at timestamptz,
    bits bytea, superseded_slot bigint
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with steps as materialized (
        select c.mint, c.slot, c.tx_index, c.step, c.child, c.block_time, decode(c.details ->> 'bits', 'hex') as bits,
               greatest(c.block_time, ledger.instant((c.details ->> 'effective_timestamp')::numeric)) as effective_at
        from ledger.control_row c
        where c.mint = any ($1) and c.kind = 'multiplier' and c.batch <= $2
          and not ledger.is_retracted('control', c.slot, c.tx_index, c.step, c.child, c.mint, '', c.batch, $2)
    )
    select s.mint, s.slot, s.tx_index, s.step, s.child, s.effective_at, s.bits, min(n.slot)
    from steps s
    left join steps n
        on n.mint = s.mint and n.block_time < s.effective_at
        and (n.slot, n.tx_index, n.step, n.child) > (s.slot, s.tx_index, s.step, s.child)
    group by s.mint, s.slot, s.tx_index, s.step, s.child, s.effective_at, s.bits
    order by s.slot, s.tx_index, s.step, s.child
$$;
