using System.Text;
using Ndif.Models.Files;
using Ndif.Models.Files.Pickle;
using static TorchSharp.torch;

namespace Ndif.Models.Tests.Files.Pickle;

/// <summary>State dictionaries of torch.save are read, and nothing in them is executed.</summary>
public sealed class PickleFileTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private string Write(byte[] content)
    {
        string path = _folder.File("pytorch_model.bin");
        File.WriteAllBytes(path, content);
        return path;
    }

    private static byte[] TwoTensors()
    {
        using var scope = NewDisposeScope();
        return PickleWriter.Write(new Dictionary<string, Tensor> { ["a"] = arange(6, ScalarType.Float32).view(2, 3), ["b.c"] = ones(4) });
    }

    [Fact]
    public void Tensors_AreThoseOfTheFile()
    {
        using PickleFile file = PickleFile.Open(Write(TwoTensors()));
        Assert.Equal(["a", "b.c"], file.Entries.Keys.Order());
        using Tensor a = file.Read("a");
        Assert.Equal([2, 3], a.shape);
        Assert.Equal([0, 1, 2, 3, 4, 5], a.data<float>().ToArray());
    }

    [Fact]
    public void LegacyFile_IsReadToo()
    {
        // before PyTorch 1.6: pickles one after the other, then the storages
        using MemoryStream file = new();
        file.Write([0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, (byte)'.']);
        file.Write(Encoding.ASCII.GetBytes("I1001\n."));
        file.Write(Encoding.ASCII.GetBytes("(d."));
        file.Write(Encoding.ASCII.GetBytes("(dVw\nctorch._utils\n_rebuild_tensor_v2\n"));
        file.Write(Encoding.ASCII.GetBytes("((Vstorage\nctorch\nFloatStorage\nV77\nVcpu\nI4\nNtQI1\n(I2\nt(I1\nt"));
        file.Write([0x89]);
        file.Write(Encoding.ASCII.GetBytes("NtRs."));
        file.Write(Encoding.ASCII.GetBytes("(lV77\na."));
        file.Write(BitConverter.GetBytes(4L));
        foreach (float value in (float[])[5, 6, 7, 8]) file.Write(BitConverter.GetBytes(value));
        using PickleFile opened = PickleFile.Open(Write(file.ToArray()));
        using Tensor w = opened.Read("w");
        Assert.Equal([6, 7], w.data<float>().ToArray());
    }

    [Theory]
    [InlineData("cos\nsystem\n(Vecho\ntR.", "`os.system`")]
    [InlineData("cbuiltins\neval\n(Vprint(1)\ntR.", "`builtins.eval`")]
    [InlineData("ctorch\nload\n)R.", "`torch.load`")]
    public void CodeInAPickle_IsNamed_AndNotRun(string pickle, string name)
    {
        string path = Write(PickleWriter.Zip(Encoding.ASCII.GetBytes(pickle), []));
        CheckpointException error = Assert.Throws<CheckpointException>(() => PickleFile.Open(path));
        Assert.Contains(name, error.Message, StringComparison.Ordinal);
        Assert.Contains("nothing of it was run", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TrainingCheckpoint_IsRefused_AndSaysWhatToDo()
    {
        string path = Write(PickleWriter.Zip(Encoding.ASCII.GetBytes("(dVmodel\n(ds."), []));
        Assert.Contains("`model` in it is a dictionary of its own",
            Assert.Throws<CheckpointException>(() => PickleFile.Open(path)).Message, StringComparison.Ordinal);
    }

    /// <summary>A damaged file causes a typed error or a valid result; its mapping is released.</summary>
    [Fact]
    public void DamagedFile_IsRead_OrRefused()
    {
        byte[] good = TwoTensors();
        Random random = new(7);
        int refused = 0;
        for (int i = 0; i < 600; i++)
        {
            byte[] bad = i % 4 == 0 ? good[..random.Next(good.Length)] : [.. good];
            for (int change = 0; bad.Length > 0 && i % 4 != 0 && change < 1
                + i % 5; change++) bad[random.Next(bad.Length)] = (byte)random.Next(256);
            string path = Write(bad);
            try
            {
                using PickleFile file = PickleFile.Open(path);
                foreach (SafetensorsEntry entry in file.Entries.Values.Where(entry =>
                    entry.Length < 1 << 20)) file.Read(entry.Name).Dispose();
            }
            catch (CheckpointException)
            {
                refused++;
            }
            Assert.Equal(0, FileMapping.LiveCount(path));
        }
        Assert.True(refused > 200, $"{refused} refused");
    }
}
