-- Which token's escrow a wallet is: what it holds is read from the ledger, and held against what that token promises.

set local lock_timeout = '30s';
set local statement_timeout = '1h';

alter table recon.wallet_row add column wrapper text collate "C";

create or replace view recon.wallets as
select address, kind, role, instrument, valid_from, valid_to, source, evidence, load, venue, holder, proven_at, wrapper
from recon.wallet_row where load = (select max(load) from recon.load_row where kind = 'registry');
