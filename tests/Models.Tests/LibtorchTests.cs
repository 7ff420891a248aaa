namespace Ndif.Models.Tests;

/// <summary>The folder of an existing libtorch in NDIF_LIBTORCH. That it is used in a run is a test of tests/packages.sh.</summary>
public sealed class LibtorchTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private string Lib => _folder.File("torch/lib");

    [Fact]
    public void NoFolder_IsThePackages()
    {
        Assert.False(Libtorch.TryLoad(null));
        Assert.False(Libtorch.TryLoad(""));
    }

    [Fact]
    public void AMissingFolder_IsAnErrorThatNamesIt()
    {
        string message = ErrorOf(Lib);
        Assert.Contains(Lib, message, StringComparison.Ordinal);
        Assert.Contains("there is no such folder", message, StringComparison.Ordinal);
        Assert.Contains("import torch", message, StringComparison.Ordinal);
    }

    [Fact]
    public void AMissingLibrary_IsNamed_AndTheFolderThatHasItIsFound()
    {
        WriteLibraries("libc10.so", "libtorch.so");
        Assert.Contains("libtorch_cpu.so is not in it", ErrorOf(Lib), StringComparison.Ordinal);
        WriteLibraries("libtorch_cpu.so");
        Assert.Contains($"Use {Lib}", ErrorOf(_folder.File("torch")), StringComparison.Ordinal);
        Assert.Contains($"Use {Lib}", ErrorOf(_folder.Path), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("torch/version.py", "from typing import Optional\n__version__ = '2.9.1+cu128'\ndebug = False\n", "version 2.9")]
    [InlineData("torch/build-version", "2.11.0+cpu\n", "version 2.11")]
    public void AnotherVersion_IsRefusedBeforeAnythingIsLoaded(string file, string content, string expected)
    {
        WriteLibraries("libc10.so", "libtorch_cpu.so", "libtorch.so");
        File.WriteAllText(_folder.File(file), content);
        string message = ErrorOf(Lib);
        Assert.Contains(expected, message, StringComparison.Ordinal);
        Assert.Contains("needs 2.10", message, StringComparison.Ordinal);
    }

    [Fact]
    public void AFileThatIsNoLibrary_IsAnErrorWithTheLoadersReason()
    {
        WriteLibraries("libc10.so", "libtorch_cpu.so", "libtorch.so");
        File.WriteAllText(_folder.File("torch/version.py"), "__version__ = '2.10.0+cpu'\n");
        Assert.Contains("libc10.so cannot be loaded", ErrorOf(Lib), StringComparison.Ordinal);
    }

    [Fact]
    public void TheLibtorchOfAPackage_HasTheVersionInItsLibrary()
    {
        string native = Path.Combine(AppContext.BaseDirectory, "runtimes", "linux-x64", "native");
        Assert.SkipUnless(File.Exists(Path.Combine(native, "libtorch_cpu.so")), "libtorch is not in the output folder");
        Assert.True(Libtorch.TryLoad(native));
    }

    private void WriteLibraries(params string[] names)
    {
        Directory.CreateDirectory(Lib);
        foreach (string name in names) File.WriteAllText(Path.Combine(Lib, name), "not a library");
    }

    private static string ErrorOf(string folder) =>
        Assert.Throws<BadProgramException>(() => Libtorch.TryLoad(folder)) is { } e ? $"{e.Message} {e.Error.Hint}" : "";
}
