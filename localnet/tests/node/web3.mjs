// @solana/web3.js 1.x and @solana/spl-token against the localnet, as in kit.mjs.
// Usage: node web3.mjs RPC_URL WS_URL. Prints one JSON object.
import assert from 'node:assert/strict';
import { Connection, Keypair, LAMPORTS_PER_SOL, Transaction, sendAndConfirmTransaction } from '@solana/web3.js';
import {
    TOKEN_2022_PROGRAM_ID,
    createMint,
    createTransferCheckedInstruction,
    getAccount,
    getMint,
    getOrCreateAssociatedTokenAccount,
    mintTo,
} from '@solana/spl-token';

const [rpcUrl, wsEndpoint] = process.argv.slice(2);
const connection = new Connection(rpcUrl, { commitment: 'confirmed', wsEndpoint });
const [issuer, holder] = [Keypair.generate(), Keypair.generate()];
const options = { commitment: 'confirmed' };

const drop = await connection.requestAirdrop(issuer.publicKey, 10 * LAMPORTS_PER_SOL);
await connection.confirmTransaction({ signature: drop, ...(await connection.getLatestBlockhash()) });
const mint = await createMint(
    connection, issuer, issuer.publicKey, null, 8, undefined, options, TOKEN_2022_PROGRAM_ID,
);
const open = (owner) =>
    getOrCreateAssociatedTokenAccount(
        connection, issuer, mint, owner, false, 'confirmed', options, TOKEN_2022_PROGRAM_ID,
    );
const source = (await open(issuer.publicKey)).address;
const destination = (await open(holder.publicKey)).address;
await mintTo(connection, issuer, mint, source, issuer, 1_000n, [], options, TOKEN_2022_PROGRAM_ID);

const notified = new Promise((resolve) => {
    connection.onAccountChange(destination, (account, context) => resolve(context.slot), { commitment: 'confirmed' });
});
const logged = new Promise((resolve) => {
    connection.onLogs(mint, (logs) => resolve(logs.signature), 'confirmed');
});
const slots = new Promise((resolve) => connection.onSlotChange((slot) => resolve(slot.slot)));
// Once a slot was told, the subscriptions before it stand as well.
await slots;
const transfer = createTransferCheckedInstruction(
    source, mint, destination, issuer.publicKey, 250n, 8, [], TOKEN_2022_PROGRAM_ID,
);
const signature = await sendAndConfirmTransaction(connection, new Transaction().add(transfer), [issuer]);

assert.equal((await getMint(connection, mint, 'confirmed', TOKEN_2022_PROGRAM_ID)).supply, 1_000n);
assert.equal((await getAccount(connection, destination, 'confirmed', TOKEN_2022_PROGRAM_ID)).amount, 250n);
assert.equal(await logged, signature);
const history = await connection.getSignaturesForAddress(mint, {}, 'confirmed');
assert.equal(history[0].signature, signature);
const landed = await connection.getParsedTransaction(signature, { ...options, maxSupportedTransactionVersion: 0 });
assert.equal(landed.transaction.message.instructions[0].parsed.type, 'transferChecked');
assert.equal(await notified, landed.slot);
const many = await connection.getTransactions([signature], { ...options, maxSupportedTransactionVersion: 0 });
assert.equal(many[0].slot, landed.slot);
const block = await connection.getBlock(landed.slot, { ...options, maxSupportedTransactionVersion: 0 });
assert.ok(block.transactions.some((t) => t.transaction.signatures[0] === signature));
const parsed = await connection.getParsedAccountInfo(destination, 'confirmed');
assert.equal(parsed.value.data.parsed.info.tokenAmount.amount, '250');
const held = await connection.getParsedTokenAccountsByOwner(holder.publicKey, { programId: TOKEN_2022_PROGRAM_ID }, 'confirmed');
assert.equal(held.value.length, 1);
console.log(JSON.stringify({ signature, slot: landed.slot, entries: history.length }));
process.exit(0);
