-- Which mints' boundary moved in some batches: what a figure that was worked out before them has to be asked about.

set local lock_timeout = '30s';
set local statement_timeout = '10min';

-- Mints of which a batch after known_batch, up to to_batch, changed what lies at or before a slot: an issue or a
-- burn, a movement of the issuer's wallets, an account that changed hands, an opening, or anything taken back.
create function ledger.touched_since(
    mints text[], to_slot bigint, known_batch bigint, to_batch bigint, owners text[], accounts text[]
) returns table (mint text) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select e.mint from ledger.event_row e
    where e.batch > $3 and e.batch <= $4 and e.slot <= $2 and e.mint = any ($1)
      and (e.kind in ('mint', 'burn') or e.source_owner = any ($5) or e.destination_owner = any ($5)
           or e.source = any ($6) or e.destination = any ($6))
    union
    select c.mint from ledger.control_row c
    where c.batch > $3 and c.batch <= $4 and c.slot <= $2 and c.mint = any ($1)
      and c.kind in ('owner', 'mint_open', 'snapshot')
    union
    select r.mint from ledger.retraction_row r where r.batch > $3 and r.batch <= $4 and r.mint = any ($1)
    union
    select o.mint from ledger.opening_row o where o.batch > $3 and o.batch <= $4 and o.mint = any ($1)
$$;
