-- Whether an account is frozen is null where nobody knows: opened while the mint's default state was not known, or
-- of a mint that was picked up in mid-life. It was false.

set local lock_timeout = '30s';
set local statement_timeout = '1h';

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
               case when c.kind = 'open' and c.details ? 'frozen' then (c.details ->> 'frozen')::boolean
                    else c.kind = 'freeze' end as frozen
        from ledger.control_row c
        where c.mint = $1 and c.slot <= $2 and c.kind in ('freeze', 'thaw', 'open') and ($3 is null or c.batch <= $3)
          and not ledger.is_retracted('control', c.slot, c.tx_index, c.step, c.child, c.mint, '', c.batch, $3)
        order by c.account, c.slot desc, c.tx_index desc, c.step desc, c.child desc
    )
    select t.account, t.owner, coalesce(s.amount, 0), case when f.account is null then false else f.frozen end
    from last_touch t
    left join sums s using (account)
    left join last_control f using (account)
    where exists (select from known) and t.post_amount is not null
    order by t.account collate "C"
$$;

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
           case when kind = 'open' and details ? 'frozen' then (details ->> 'frozen')::boolean
                else kind = 'freeze' end as frozen
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
       case when f.account is not null then f.frozen when k.known then false end as frozen,
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

-- What is final is no longer provisional, whoever reads between the commit and the next look at the chain.
create or replace view ledger.provisional_events as
select slot, block_time, tx_index, step, child, path, signature, program, kind, mint,
       case when source in ('issuance', 'withheld', 'confidential') then null else source end as source,
       source_owner,
       case when destination in ('issuance', 'withheld', 'confidential') then null else destination end as destination,
       destination_owner, authority, authority_role, amount, fee, memo, batch, blockhash
from ledger.provisional_row p
where not exists (select from ledger.slot_row s where s.slot = p.slot);
