-- Who decides on a break, whoever writes here and however. What was known of slots and findings at a batch, so that
-- the same inputs give the same bytes after later batches. Sessions, without what opens them.

set local lock_timeout = '30s';
set local statement_timeout = '1h';

create view access.session_spans as
select s.name, s.created_at as from_at, least(s.expires_at, e.ended_at) as to_at
from access.session_row s left join access.session_end_row e using (digest);

-- Two persons decide: neither who proposed, nor who handed in the evidence, nor one to whom the proposer gave the key;
-- and what no key signs is done in a session of its actor.
create function recon.refuse_break_action() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    asked recon.break_action_row;
begin
    if new.signature is null and not exists (
        select from access.session_spans s where s.name = new.actor and clock_timestamp() between s.from_at and s.to_at) then
        raise exception '% has no session and signs nothing: % refused', new.actor, new.kind
            using errcode = 'restrict_violation';
    end if;
    if new.kind = 'approve' then
        select * into asked from recon.break_action_row a where a.action = new.proposal;
        if asked.actor = new.actor then
            raise exception '% made proposal %: somebody else decides on it', new.actor, new.proposal
                using errcode = 'restrict_violation';
        end if;
        if exists (select from recon.load_actor_row l where l.load = asked.document and l.actor = new.actor) then
            raise exception '% handed in the evidence of proposal %: somebody else decides on it', new.actor, new.proposal
                using errcode = 'restrict_violation';
        end if;
        if asked.actor = (
            select e.actor from access.person_row p join audit.entry_row e on e.entry = p.entry
            where p.name = new.actor order by p.version desc limit 1) then
            raise exception '% made proposal %, and gave % the key or the roles: another admin has to', asked.actor,
                new.proposal, new.actor using errcode = 'restrict_violation';
        end if;
    end if;
    return new;
end $$;
create trigger refuse_break_action before insert on recon.break_action_row
    for each row execute function recon.refuse_break_action();

-- Which of some slots had no block at a batch.
create function ledger.slots_unknown(slots bigint[], known_batch bigint) returns table (slot bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select w.slot from unnest($1) as w (slot)
    where not exists (select from ledger.slot_row s where s.slot = w.slot and s.batch <= $2)
    order by w.slot
$$;

-- The last block at or before an instant, of those known at a batch and no later than a slot, and whether a later
-- block shows that it is the last. A chain's clock never goes back.
create function ledger.slot_at_known(at timestamptz, to_slot bigint, known_batch bigint) returns table (
    slot bigint, passed boolean
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select (select s.slot from ledger.slot_row s
            where s.block_time <= $1 and s.slot <= $2 and s.batch <= $3
            order by s.block_time desc, s.slot desc limit 1),
           exists (select from ledger.slot_row s where s.block_time > $1 and s.slot <= $2 and s.batch <= $3)
$$;

-- The last block with a time in a range of slots, of those known at a batch.
create function ledger.slot_time_known(from_slot bigint, to_slot bigint, known_batch bigint) returns table (
    slot bigint, blockhash text, block_time timestamptz
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select s.slot, s.blockhash, s.block_time from ledger.slot_row s
    where s.slot between $1 and $2 and s.block_time is not null and s.batch <= $3
    order by s.slot desc limit 1
$$;

-- What audits of the ledger had found and nothing had closed at a batch, with the values that were told by then; a
-- row a mint that was asked for. Of a finding that names no mint, one of each.
create function ledger.findings_known(mints text[], known_batch bigint) returns table (
    mint text, audit text, subject text, expected text, found text
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with last as (
        select distinct on (f.audit, f.subject) f.audit, f.subject, f.mint, f.action, f.expected, f.found
        from ledger.finding_row f where f.batch <= $2 order by f.audit, f.subject, f.batch desc
    )
    select m.mint, l.audit, l.subject, l.expected, l.found
    from unnest($1) as m (mint) join last l on l.mint is null or l.mint = m.mint
    where l.action = 'open'
    order by m.mint collate "C", l.audit collate "C", l.subject collate "C"
$$;
