export default function Page() {
  return <p>The API routes of this site run on Nightshift.</p>
}
