-- Acts of control beside mints and authorities (freeze, pause, hook, default state), what announces them, and which
-- accounts are frozen. How old a venue's ledger may be. When the last order was completed, in what is kept of the past.

set local lock_timeout = '30s';
set local statement_timeout = '1h';

-- An act of control that the business announces: it may happen in that time, and is then no surprise.
create table recon.announcement_row (
    load bigint not null references recon.load_row (load),
    ordinal integer not null,
    kind text collate "C" not null
        check (kind in ('freeze', 'thaw', 'pause', 'resume', 'hook', 'default_state')),
    instrument text collate "C" not null,
    account text collate "C",
    valid_from timestamptz not null,
    valid_to timestamptz not null,
    source text not null,
    primary key (load, ordinal),
    check (valid_from < valid_to),
    check (account is null or kind in ('freeze', 'thaw'))
);
create view recon.announcements as
select kind, instrument, account, valid_from, valid_to, source, load
from recon.announcement_row where load = (select max(load) from recon.load_row where kind = 'registry');

alter table recon.venue_row add column max_age_hours integer not null default 48 check (max_age_hours > 0);
create or replace view recon.venues as
select venue, name, load, max_age_hours
from recon.venue_row where load = (select max(load) from recon.load_row where kind = 'registry');

do $$
begin
    call recon.make_append_only('recon.announcement_row'::regclass);
end $$;

-- Each step has a seventh integer: when the last order was completed, in microseconds since 1970, 0 for none. What was
-- kept by older rules is found anew by the next run.
delete from recon.history_head;
-- squawk-ignore ban-drop-constraint, constraint-missing-not-valid
alter table recon.history_chunk drop constraint history_chunk_steps_check, add constraint history_chunk_steps_check
    check (octet_length(steps) % 56 = 0 and octet_length(steps) > 0);

-- squawk-ignore ban-drop-constraint, constraint-missing-not-valid
alter table recon.control_act_row drop constraint control_act_row_kind_check, add constraint control_act_row_kind_check
    check (kind in ('inventory_mint', 'authority', 'multiplier', 'freeze', 'thaw', 'pause', 'resume', 'hook',
                    'default_state'));

-- What froze or thawed an account, paused or resumed a mint, set its hook or the state of new accounts; ``value`` is
-- what it was set to, where the instruction says so. A row without a signature is a snapshot's.
create function ledger.control_acts_known(mints text[], to_slot bigint, known_batch bigint) returns table (
    mint text, slot bigint, tx_index integer, step integer, child integer, block_time timestamptz, signature text,
    kind text, account text, authority text, value text
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select c.mint, c.slot, c.tx_index, c.step, c.child, c.block_time, c.signature, c.kind, c.account, c.authority,
           case c.kind when 'hook' then c.details ->> 'program_id' when 'default_state' then c.details ->> 'state' end
    from ledger.control_row c
    where c.mint = any ($1) and c.kind in ('freeze', 'thaw', 'pause', 'resume', 'hook', 'default_state')
      and c.slot <= $2 and c.batch <= $3
      and not ledger.is_retracted('control', c.slot, c.tx_index, c.step, c.child, c.mint, '', c.batch, $3)
    order by c.slot, c.tx_index, c.step, c.child
$$;

-- Few accounts are ever frozen beside those that are opened.
create index control_row_frozen on ledger.control_row (mint, account)
    where kind = 'freeze' or (kind = 'open' and details ? 'frozen' and details ->> 'frozen' is distinct from 'false');

-- The accounts of some mints that are frozen at a slot, or of which nobody knows whether they are (null), with what the
-- node says they hold; amount null: the account is closed.
create function ledger.frozen_known(mints text[], at_slot bigint, known_batch bigint) returns table (
    mint text, account text, owner text, amount numeric, frozen boolean
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with candidates as materialized (
        select distinct c.mint, c.account from ledger.control_row c
        where c.mint = any ($1) and c.account is not null and c.slot <= $2 and c.batch <= $3
          and (c.kind = 'freeze'
               or (c.kind = 'open' and c.details ? 'frozen' and c.details ->> 'frozen' is distinct from 'false'))
    )
    select c.mint, c.account, t.post_owner, t.post_amount::numeric, l.frozen
    from candidates c
    cross join lateral (
        select case when s.kind = 'open' and s.details ? 'frozen' then (s.details ->> 'frozen')::boolean
                    else s.kind = 'freeze' end as frozen
        from ledger.control_row s
        where s.mint = c.mint and s.account = c.account and s.slot <= $2 and s.batch <= $3
          and s.kind in ('freeze', 'thaw', 'open')
          and not ledger.is_retracted('control', s.slot, s.tx_index, s.step, s.child, s.mint, '', s.batch, $3)
        order by s.slot desc, s.tx_index desc, s.step desc, s.child desc limit 1) l
    left join lateral (
        select h.post_owner, h.post_amount from ledger.touch_row h
        where h.mint = c.mint and h.account = c.account and h.slot <= $2 and h.batch <= $3
          and not ledger.is_retracted('touch', h.slot, h.tx_index, 0, 0, h.mint, h.account, h.batch, $3)
        order by h.slot desc, h.tx_index desc limit 1) t on true
    where l.frozen is distinct from false
    order by c.mint collate "C", c.account collate "C"
$$;
