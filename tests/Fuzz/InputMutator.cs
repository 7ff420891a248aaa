namespace Ndif.Fuzz;

/// <summary>
/// Mutates inputs without coverage, for machines without AFL: it changes bits and bytes and inserts ranges of other inputs. The same seed
/// gives the same inputs.
/// </summary>
internal sealed class InputMutator(IReadOnlyList<byte[]> seeds, int seed)
{
    private static readonly byte[] _boundaryBytes = [0, 1, 0x7f, 0x80, 0xff];
    private readonly Random _random = new(seed);

    public byte[] Next()
    {
        List<byte> bytes = [.. seeds[_random.Next(seeds.Count)]];
        for (int changes = 1 << _random.Next(5); changes > 0; changes--)
        {
            int at = _random.Next(bytes.Count + 1);
            switch (_random.Next(6))
            {
                case 0 when at < bytes.Count: bytes[at] ^= (byte)(1 << _random.Next(8)); break;
                case 1 when at < bytes.Count: bytes[at] = _boundaryBytes[_random.Next(_boundaryBytes.Length)]; break;
                case 2 when at < bytes.Count: bytes.RemoveRange(at, Math.Min(1 << _random.Next(6), bytes.Count - at)); break;
                case 3: bytes.Insert(at, (byte)_random.Next(256)); break;
                case 4 when at < bytes.Count:
                    bytes.InsertRange(at, bytes.GetRange(at, Math.Min(1 << _random.Next(6), bytes.Count - at)));
                    break;
                default:
                    byte[] other = seeds[_random.Next(seeds.Count)];
                    int from = _random.Next(other.Length + 1);
                    bytes.InsertRange(at, other.AsSpan(from, Math.Min(1 << _random.Next(7), other.Length - from)).ToArray());
                    break;
            }
        }
        return [.. bytes];
    }
}
