using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Models.Tests;

public sealed class NativeTorchTests
{
    [Fact]
    public void Torch_Loads_AndComputes()
    {
        NativeTorch.Initialize();
        using Tensor sum = ones(3).sum();
        Assert.Equal(3f, sum.item<float>());
    }

    [Fact]
    public void Patched_ChangesTwoBytesAtMost()
    {
        string path = Path.Combine(AppContext.BaseDirectory, "runtimes", "linux-x64", "native", "libLibTorchSharp.so");
        Assert.SkipUnless(File.Exists(path), "libLibTorchSharp.so for Linux is not in the output folder");
        byte[] original = File.ReadAllBytes(path);
        byte[]? patched = NativeTorch.PatchVersionRequirement([.. original]);
        Assert.SkipWhen(patched is null, "this build of the library does not ask for GLIBCXX_3.4.32");
        Assert.InRange(original.Zip(patched).Count(pair => pair.First != pair.Second), 1, 2);
    }

    [Fact]
    public void Patched_IsNull_ForSomethingElse()
    {
        Assert.Null(NativeTorch.PatchVersionRequirement([]));
        Assert.Null(NativeTorch.PatchVersionRequirement(new byte[4096]));
    }
}
