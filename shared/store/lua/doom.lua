-- Notes blobs that are going to be deleted.
--
-- KEYS[1] names of blobs that are being deleted
-- ARGV[1] how long the note is kept, ms
-- ARGV[2…] names
--
-- Result: 1.
--
-- Atomic, and idempotent: a set. It ends by itself, so that a scheduler that
-- never comes back does not keep anybody from uploading.
for i = 2, #ARGV do
  redis.call('SADD', KEYS[1], ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
