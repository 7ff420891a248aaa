using System.Text;
using Ndif.Protocol;

namespace Ndif.Fuzz.Targets;

/// <summary>An untrusted .npy file. What is read is written and read again.</summary>
internal sealed class NpyTarget : IFuzzTarget
{
    public IEnumerable<byte[]> Seeds()
    {
        foreach (TensorData tensor in (TensorData[])[TensorData.Arange(6).Reshape(2, 3), TensorData.Zeros([]), TensorData.Zeros([0, 4])])
        {
            using MemoryStream file = new();
            tensor.SaveNpy(file);
            yield return file.ToArray();
        }
        yield return CreateFile("{'descr': '>c16', 'fortran_order': True, 'shape': (2, 1), }", 32);
        yield return CreateFile("{'descr': [('a', '<f4', (2,))], 'fortran_order': False, 'shape': (1L,), }", 8);
        yield return CreateFile("{'descr': '|O', 'fortran_order': False, 'shape': (9223372036854775807, 9223372036854775807), }", 8);
    }

    public void Run(byte[] input)
    {
        try
        {
            TensorData tensor = TensorData.LoadNpy(new MemoryStream(input));
            using MemoryStream file = new();
            tensor.SaveNpy(file);
            file.Position = 0;
            if (!TensorData.LoadNpy(file).SameAs(tensor)) throw new FindingException("A tensor changes when it is written and read.");
        }
        catch (NdifException e) when (e.Code is not ErrorCode.Internal)
        {
            // A typed refusal is expected.
        }
    }

    private static byte[] CreateFile(string header, int data) =>
        [0x93, .. "NUMPY"u8, 1, 0, (byte)header.Length, 0, .. Encoding.UTF8.GetBytes(header), .. new byte[data]];
}
