// Reminds customers of carts that they left an hour ago or more, once each: also when
// a tick comes twice, or an attempt dies half-way. SHOP_URL is where the shop's API
// is, SMTP_URL where mail goes.
import nodemailer from 'nodemailer';

export const handler = async (event, context) => {
  const transport = nodemailer.createTransport(process.env.SMTP_URL);
  const carts = await (await shop('carts?idle_minutes=60')).json();
  const failed = [];
  for (const cart of carts) {
    const sent = await remind(cart, context.awsRequestId, transport).catch((error) => {
      console.error(`cart ${cart.id}: ${error.message}`);
      failed.push(cart.id); // and the others get theirs
    });
    if (sent) console.log(`cart ${cart.id}: reminded ${cart.email}`);
  }
  // Tried again for those alone: the others have their reminder.
  if (failed.length > 0) throw new Error(`no mail for ${failed.length} of ${carts.length} carts: ${failed.join(', ')}`);
  return { statusCode: 200 };
};

// The shop gives a cart's reminder to one run only. To the run that has it the
// shop gives it again, so an attempt takes up what the one before could not finish.
async function remind(cart, run, transport) {
  const claim = await shop(`carts/${cart.id}/reminder`, { method: 'POST', body: JSON.stringify({ run }) }, 409);
  if (claim.status === 409) return false;
  try {
    await transport.sendMail({
      from: 'Shop <shop@example.com>',
      to: cart.email,
      subject: 'You left something behind',
      text: `In your cart: ${cart.items.join(', ')}\n`,
      messageId: `<cart-${cart.id}@carts.example.com>`, // so that a repeated one is seen to be the same
    });
  } catch (error) {
    await shop(`carts/${cart.id}/reminder`, { method: 'DELETE' }); // for whoever comes next
    throw error;
  }
  await shop(`carts/${cart.id}/reminder`, { method: 'PUT', body: JSON.stringify({ run, sent: true }) });
  return true;
}

async function shop(path, init, alsoFine) {
  const answer = await fetch(`${process.env.SHOP_URL}/${path}`, { ...init, signal: AbortSignal.timeout(30_000) });
  if (!answer.ok && answer.status !== alsoFine) throw new Error(`the shop answered ${answer.status} to ${path}`);
  return answer;
}
