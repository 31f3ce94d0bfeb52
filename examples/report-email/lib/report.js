const { PDFDocument, StandardFonts } = require('pdf-lib');

const money = (cents) => (cents / 100).toFixed(2);

// drawReport lists what was sold, with the sum. It needs no files beside its code.
exports.drawReport = async (title, orders) => {
  const pdf = await PDFDocument.create();
  pdf.setTitle(title);
  const font = await pdf.embedFont(StandardFonts.Helvetica);
  const bold = await pdf.embedFont(StandardFonts.HelveticaBold);
  let page;
  let y = 0;
  const write = (text, amount, style = font, size = 12) => {
    if (y < 60) [page, y] = [pdf.addPage([595, 842]), 780]; // A4
    const name = text.replace(/[^ -~¡-ÿ]/g, '?'); // the built-in fonts have no other letters
    page.drawText(name, { x: 60, y, font: style, size });
    page.drawText(amount, { x: 535 - style.widthOfTextAtSize(amount, size), y, font: style, size });
    y -= size * 1.6;
  };
  write(title, '', bold, 20);
  for (const [product, sold] of byProduct(orders)) write(`${sold.length} x ${product}`, money(sum(sold)));
  write('Total EUR', money(sum(orders)), bold);
  return Buffer.from(await pdf.save());
};

const sum = (orders) => orders.reduce((total, order) => total + order.cents, 0);

function byProduct(orders) {
  const groups = new Map();
  for (const order of orders) groups.set(order.product, [...(groups.get(order.product) ?? []), order]);
  return groups;
}
