// What grpc-js makes of a server: node client.js HOST:PORT [CA.pem]
const fs = require('fs');
const grpc = require('@grpc/grpc-js');

const [address, ca] = process.argv.slice(2);
const options = {'grpc.max_receive_message_length': 64 << 20, 'grpc.max_send_message_length': 64 << 20};
const credentials = ca ? grpc.credentials.createSsl(fs.readFileSync(ca)) : grpc.credentials.createInsecure();
const client = new grpc.Client(address, credentials, options);
const same = value => value;

function call(method, message, {metadata = new grpc.Metadata(), seconds = 20} = {}) {
  const deadline = Date.now() + seconds * 1000;
  return new Promise((resolve, reject) => client.makeUnaryRequest('/test.Service/' + method,
    same, same, message, metadata, {deadline},
    (failure, answer) => failure ? reject(failure) : resolve(answer)));
}

function watch() {
  return new Promise((resolve, reject) => {
    const stream = client.makeServerStreamRequest('/grpc.health.v1.Health/Watch', same, same,
      Buffer.alloc(0), new grpc.Metadata(), {deadline: Date.now() + 20000});
    stream.on('data', message => { resolve(message); stream.cancel(); });
    stream.on('error', reject);
  });
}

async function main() {
  console.log('unary: ' + await call('Echo', Buffer.from('hello')));
  const metadata = new grpc.Metadata();
  metadata.set('x-request-id', '42');
  metadata.set('x-raw-bin', Buffer.from([0, 255]));
  console.log('metadata: ' + await call('Metadata', Buffer.alloc(0), {metadata}));
  await call('Fail', Buffer.alloc(0)).catch(failure =>
    console.log(`error: ${failure.code} ${failure.details} ${failure.metadata.get('mindserve-error')}`));
  await call('Hang', Buffer.alloc(0), {seconds: 0.3}).catch(failure =>
    console.log('deadline: ' + failure.code));
  const large = Buffer.alloc(4 << 20, 7);
  console.log('large: ' + large.equals(await call('Echo', large)));
  console.log('watch: ' + (await watch()).toString('hex'));
  const many = await Promise.all(Array.from({length: 200}, (_, n) => call('Echo', Buffer.from(String(n)))));
  console.log('many: ' + many.every((answer, n) => String(answer) === String(n)));
  client.close();
}

main();
