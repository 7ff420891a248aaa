using System.Globalization;
using System.Runtime.InteropServices;
using Ndif.Protocol;

namespace Ndif.Models;

/// <summary>
/// The libtorch of an existing PyTorch, in place of that of a package: <c>NDIF_LIBTORCH=/path/to/torch/lib</c>. A build with CUDA is used
/// in the same way.
/// </summary>
internal static class Libtorch
{
    /// <summary>The environment variable.</summary>
    public const string Variable = "NDIF_LIBTORCH";

    /// <summary>The version for which LibTorchSharp is built; its C++ interface changes with the minor version.</summary>
    public static readonly Version Required = new(2, 10);

    private static readonly string[] _libraries = ["libc10.so", "libtorch_cpu.so", "libtorch.so"];

    /// <summary>Libraries that builds with CUDA have, and which libtorch.so then needs.</summary>
    private static readonly string[] _cudaLibraries = ["libc10_cuda.so", "libtorch_cuda.so"];

    /// <summary>Loads the libtorch that the variable names, so that LibTorchSharp finds its libraries in the process.</summary>
    /// <returns>Whether the variable is set.</returns>
    /// <exception cref="NdifException">
    /// BAD_ARGUMENT: the folder is missing or incomplete, its libtorch has another version, or it cannot be loaded.
    /// </exception>
    public static bool TryLoadChosen() => TryLoad(Environment.GetEnvironmentVariable(Variable));

    internal static bool TryLoad(string? folder)
    {
        if (string.IsNullOrEmpty(folder)) return false;
        if (!OperatingSystem.IsLinux())
            throw Errors.CreateException(ErrorCode.Unsupported, $"{Variable} is known on Linux only.", "Reference a libtorch package.");
        RequireLibraries(folder);
        if (ReadVersion(folder) is { } written) RequireVersion(folder, written);
        foreach (string name in (string[])[_libraries[0], .. _cudaLibraries[..1], _libraries[1], .. _cudaLibraries[1..], _libraries[2]])
        {
            string path = Path.Combine(folder, name);
            if (!File.Exists(path)) continue;
            nint library = Load(folder, path);
            if (name == "libtorch_cpu.so") RequireVersion(folder, ReadAbiVersion(library));
        }
        return true;
    }

    private static void RequireLibraries(string folder)
    {
        if (!Directory.Exists(folder)) throw BadFolder(folder, "there is no such folder");
        if (Array.Find(_libraries, name => !File.Exists(Path.Combine(folder, name))) is not { } missing) return;
        string? inside = new[] { "lib", Path.Combine("torch", "lib") }.Select(path => Path.Combine(folder, path))
            .FirstOrDefault(path => File.Exists(Path.Combine(path, missing)));
        throw BadFolder(folder, $"{missing} is not in it", inside is null ? null : $"Use {inside}.");
    }

    /// <summary>The version in libtorch's build-version or PyTorch's version.py, beside the folder; null if neither is there.</summary>
    private static Version? ReadVersion(string folder)
    {
        string build = Path.Combine(folder, "..", "build-version"), python = Path.Combine(folder, "..", "version.py");
        string text = File.Exists(build) ? File.ReadAllText(build)
            : File.Exists(python) ? Array.Find(File.ReadAllLines(python), IsVersion)?.Split('=')[^1] ?? "" : "";
        string[] numbers = text.Trim(' ', '\'', '"', '\n', '\r').Split('+', '-')[0].Split('.');
        return numbers.Length >= 2 && int.TryParse(numbers[0], NumberStyles.None, CultureInfo.InvariantCulture, out int major)
            && int.TryParse(numbers[1], NumberStyles.None, CultureInfo.InvariantCulture, out int minor) ? new Version(major, minor) : null;

        static bool IsVersion(string line) => line.StartsWith("__version__", StringComparison.Ordinal);
    }

    /// <summary>The version in the library itself, in the upper bytes of a number; null in older ones, which do not have it.</summary>
    /// <remarks>torch/csrc/inductor/aoti_torch/shim_common.cpp</remarks>
    private static unsafe Version? ReadAbiVersion(nint library)
    {
        if (!NativeLibrary.TryGetExport(library, "aoti_torch_abi_version", out nint function)) return null;
        ulong version = ((delegate* unmanaged<ulong>)function)();
        return new Version((int)(version >> 56), (int)(version >> 48 & 0xff));
    }

    private static void RequireVersion(string folder, Version? version)
    {
        if (version == Required) return;
        throw BadFolder(folder, $"its libtorch is {(version is null ? "of an older version" : $"version {version}")}, and TorchSharp needs "
            + $"{Required}", $"Install PyTorch {Required} (any build: CPU or CUDA), or unset {Variable} to use the libtorch of a package.");
    }

    private static nint Load(string folder, string path)
    {
        try
        {
            return NativeLibrary.Load(path);
        }
        catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
        {
            throw BadFolder(folder, $"{Path.GetFileName(path)} cannot be loaded: {e.Message.Split('\n')[0]}", inner: e);
        }
    }

    private static Exception BadFolder(string folder, string why, string? hint = null, Exception? inner = null) => Errors.CreateException(
        ErrorCode.BadArgument, $"{Variable} is `{folder}`, which cannot be used: {why}.",
        hint ?? "It is the folder `lib` of a PyTorch or libtorch. "
            + "`python -c \"import torch; print(torch.__path__[0] + '/lib')\"` prints it.",
        inner: inner);

    /// <summary>The error of a process without libtorch.</summary>
    public static Exception NotFound() => Errors.CreateException(ErrorCode.Unsupported,
        "A model cannot run in this process: libtorch is not in the program's output.",
        "On Linux (x64) the package Ndif.Engine brings libtorch-cpu-linux-x64 unless it is excluded; reference a libtorch package, version "
            + $"{Required}, for another system. An existing PyTorch {Required} is used with {Variable}=/path/to/torch/lib.");
}
