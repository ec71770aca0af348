-- Who may mint, freeze, pause or seize, changed hands: for some mints, as known at a batch.

set local lock_timeout = '30s';
set local statement_timeout = '1h';

create function ledger.authority_changes_known(mints text[], to_slot bigint, known_batch bigint) returns table (
    mint text, slot bigint, tx_index integer, step integer, child integer, block_time timestamptz, signature text,
    authority_type text, authority text, new_authority text
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select c.mint, c.slot, c.tx_index, c.step, c.child, c.block_time, c.signature, c.details ->> 'type', c.authority,
           c.details ->> 'new'
    from ledger.control_row c
    where c.mint = any ($1) and c.kind = 'authority' and c.slot <= $2 and c.signature <> '' and c.batch <= $3
      and not ledger.is_retracted('control', c.slot, c.tx_index, c.step, c.child, c.mint, '', c.batch, $3)
    order by c.slot, c.tx_index, c.step, c.child
$$;
