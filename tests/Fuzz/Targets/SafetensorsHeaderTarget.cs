using System.Buffers.Binary;
using System.Text;
using Ndif.Models.Files;
using Ndif.Protocol;
using Ndif.Protocol.Files;

namespace Ndif.Fuzz.Targets;

/// <summary>An untrusted safetensors file: its header and the offsets of its tensors.</summary>
internal sealed class SafetensorsHeaderTarget : IFuzzTarget, IDisposable
{
    private readonly string _file = Path.Combine(
        Directory.Exists("/dev/shm") ? "/dev/shm" : Path.GetTempPath(), $"ndif-fuzz-{Environment.ProcessId}.safetensors");

    public IEnumerable<byte[]> Seeds()
    {
        yield return CreateFile("{}", 0);
        yield return CreateFile("""
            {"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"BF16","shape":[],"data_offsets":[16,18]}}
            """, 18);
        yield return CreateFile("""{"__metadata__":{"format":"pt"},"w":{"dtype":"I64","shape":[0],"data_offsets":[0,0]}}""", 0);
        yield return CreateFile("""{"w":{"dtype":"F64","shape":[9223372036854775807,2],"data_offsets":[0,18446744073709551615]}}""", 4);
        yield return [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, (byte)'{'];
    }

    public void Run(byte[] input)
    {
        System.IO.File.WriteAllBytes(_file, input);
        try
        {
            using var tensors = SafetensorsFile.Open(_file);
            foreach (SafetensorsEntry entry in tensors.Entries.Values)
                if (entry.Offset < 0 || entry.Length < 0 || entry.Offset + entry.Length > input.Length)
                    throw new FindingException($"{entry} is outside of the file.");
        }
        catch (NdifException e) when (e.Code is not ErrorCode.Internal)
        {
            // A typed refusal is expected.
        }
    }

    public void Dispose() => System.IO.File.Delete(_file);

    private static byte[] CreateFile(string header, int data)
    {
        byte[] json = Encoding.UTF8.GetBytes(header), bytes = new byte[8 + json.Length + data];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, json.Length);
        json.CopyTo(bytes, 8);
        return bytes;
    }
}
