using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Loader;
using System.Text;
using TorchSharp;

namespace Ndif.Models;

/// <summary>
/// Makes TorchSharp's native library load on every Linux that libtorch itself supports.
/// </summary>
/// <remarks>
/// libLibTorchSharp.so 0.107 is linked with gcc 13 and asks for GLIBCXX_3.4.32, which Debian 12's libstdc++ lacks. The only symbol of
/// that version is a marker without any relocation (<c>std::ios_base_library_init</c>): the code never calls it, only the loader's
/// version check fails. So, and only where loading fails, we load a copy (2.4 MB, in a per-user cache) whose version requirement is
/// flagged weak, which is what the linker would have written for an optional symbol. The original is never touched: with linked
/// output folders it lies in the package cache.
/// It all happens in a module initializer; a process that uses TorchSharp before anything of this assembly calls
/// <see cref="Initialize"/> first.
/// </remarks>
public static partial class NativeTorch
{
    private const string Library = "LibTorchSharp";

    private const string MissingVersion = "GLIBCXX_3.4.32";

    private static readonly Lazy<nint> _library = new(Load);

#pragma warning disable CA2255 // a library may not start without it: no caller could know that it has to
    /// <summary>Registers how the library is found. Any number of calls, from any thread; loads nothing yet.</summary>
    [ModuleInitializer]
    public static void Initialize()
    {
        if (Interlocked.Exchange(ref _initialized, 1) == 1) return;
        UsePassiveWaitPolicy();
        UseTransparentHugePages();
        // TorchSharp's own TryLoad asks the load context; P/Invokes (its and ours) ask the assembly's resolver.
        NativeLibrary.SetDllImportResolver(typeof(NativeTorch).Assembly, (name, _, _) => Resolve(name));
        try { NativeLibrary.SetDllImportResolver(typeof(torch).Assembly, (name, _, _) => Resolve(name)); }
        catch (InvalidOperationException) { } // the host has its own
        AssemblyLoadContext.Default.ResolvingUnmanagedDll += (_, name) => Resolve(name);
    }
#pragma warning restore CA2255

    private static int _initialized;

    /// <summary>
    /// libgomp's threads spin while they wait, which on shared cores stalls every parallel operation for a scheduler's quantum
    /// (3-4 times slower decoding); passive waiting costs a tenth on an idle machine. libgomp reads the variable when it is loaded,
    /// from the C environment, which .NET's Environment does not reach.
    /// </summary>
    private static void UsePassiveWaitPolicy()
    {
        if (OperatingSystem.IsWindows() || Environment.GetEnvironmentVariable("OMP_WAIT_POLICY") is not null) return;
        _ = SetEnvironment("OMP_WAIT_POLICY", "passive", 0);
    }

    /// <summary>
    /// libtorch then asks for tensors of 2 MB and more in whole large pages (where the system allows them to who asks). It takes no
    /// longer, and the C library's heap gets fewer holes: after eight passes of GPT-2-small over 512 tokens 0.94 GB are resident,
    /// without it 1.07 to 1.57 GB. libtorch reads the variable when it allocates for the first time (c10/core/impl/alloc_cpu.cpp).
    /// </summary>
    private static void UseTransparentHugePages()
    {
        if (!OperatingSystem.IsLinux() || Environment.GetEnvironmentVariable("THP_MEM_ALLOC_ENABLE") is not null) return;
        _ = SetEnvironment("THP_MEM_ALLOC_ENABLE", "1", 0);
    }

    private static nint Resolve(string name) => name.Contains(Library, StringComparison.Ordinal) ? _library.Value : 0;

    /// <summary>The library's handle, or 0 to leave the search to the runtime (and its error to TorchSharp).</summary>
    private static nint Load()
    {
        if (!OperatingSystem.IsLinux() || FindNativeLibrary($"lib{Library}.so") is not { } original) return 0;
        Preload(Path.GetDirectoryName(original)!);
        if (NativeLibrary.TryLoad(original, out nint handle)) return handle;
        if (PatchVersionRequirement(File.ReadAllBytes(original)) is not { } image) return 0; // it fails for another reason
        return LoadCopy(original, image);
    }

    /// <summary>
    /// libtorch's libraries may lie in another folder than LibTorchSharp (packages, a copy in a cache): once loaded they satisfy
    /// it by name.
    /// </summary>
    private static void Preload(string folder)
    {
        foreach (string name in (string[])["libc10.so", "libtorch_cpu.so", "libtorch.so", "libc10_cuda.so", "libtorch_cuda.so"])
            if ((File.Exists(Path.Combine(folder, name)) ? Path.Combine(folder, name) : FindNativeLibrary(name)) is { } path)
                NativeLibrary.TryLoad(path, out _);
    }

    private static nint LoadCopy(string original, byte[] image)
    {
        FileInfo file = new(File.ResolveLinkTarget(original, returnFinalTarget: true)?.FullName ?? original);
        string name = $"lib{Library}-{file.Length:x}-{file.LastWriteTimeUtc.Ticks:x}.so";
        string cache = Environment.GetFolderPath(
            Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify);
        if (cache.Length > 0)
        {
            try
            {
                string folder = Path.Combine(cache, "ndif", "native");
                CreatePrivateDirectory(folder);
                string path = Path.Combine(folder, name);
                if (!File.Exists(path) || new FileInfo(path).Length != image.Length) WriteAtomically(path, image);
                return NativeLibrary.Load(path);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException) { } // a read-only home, as in containers
        }
        // A folder of our own that nobody else can have prepared; a loaded file needs no name.
        DirectoryInfo fresh = Directory.CreateTempSubdirectory("ndif-native-");
        try
        {
            string path = Path.Combine(fresh.FullName, name);
            File.WriteAllBytes(path, image);
            return NativeLibrary.Load(path);
        }
        finally { fresh.Delete(recursive: true); }
    }

    private static void CreatePrivateDirectory(string folder)
    {
        if (!OperatingSystem.IsWindows())
            Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    /// <summary>Several processes start at once: each writes its own file, the last rename wins, and all are equal.</summary>
    private static void WriteAtomically(string path, byte[] bytes)
    {
        string mine = $"{path}.{Guid.NewGuid():n}";
        File.WriteAllBytes(mine, bytes);
        File.Move(mine, path, overwrite: true);
    }

    private static string? FindNativeLibrary(string file)
    {
        string search = AppContext.GetData("NATIVE_DLL_SEARCH_DIRECTORIES") as string ?? "";
        return search.Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
            .Append(AppContext.BaseDirectory)
            .Append(Path.Combine(AppContext.BaseDirectory, "runtimes", RuntimeInformation.RuntimeIdentifier, "native"))
            .Append(Path.Combine(AppContext.BaseDirectory, "runtimes", "linux-x64", "native"))
            .Select(folder => Path.Combine(folder, file))
            .FirstOrDefault(File.Exists);
    }

    /// <summary>
    /// The image with VER_FLG_WEAK set on its requirement of <see cref="MissingVersion"/>, or null if it has none (or is no
    /// 64-bit little-endian ELF file). Layout: the ELF gABI's section headers and the LSB's "Symbol Versioning" chapter.
    /// </summary>
    internal static byte[]? PatchVersionRequirement(byte[] image)
    {
        const int VersionNeeds = 0x6ffffffe; // SHT_GNU_verneed, .gnu.version_r
        const ushort Weak = 2;               // VER_FLG_WEAK
        if (image.Length < 64 || !image.AsSpan(0, 6).SequenceEqual("\u007fELF\u0002\u0001"u8)) return null;

        bool found = false;
        for (int i = 0, count = U16(60); i < count; i++)
        {
            int header = Section(i);
            if (U32(header + 4) != VersionNeeds) continue;
            int need = (int)U64(header + 24);
            int names = (int)U64(Section((int)U32(header + 40)) + 24); // the string table that this section links to
            for (int more = -1; more != 0; need += more)               // Elf64_Verneed: one per library
            {
                int aux = need + (int)U32(need + 8);
                for (int next = -1; next != 0; aux += next)            // Elf64_Vernaux: one per version
                {
                    if (TextAt(names + (int)U32(aux + 8)) == MissingVersion)
                    {
                        BinaryPrimitives.WriteUInt16LittleEndian(image.AsSpan(aux + 4), (ushort)(U16(aux + 4) | Weak));
                        found = true;
                    }
                    next = (int)U32(aux + 12);
                }
                more = (int)U32(need + 12);
            }
        }
        return found ? image : null;

        int Section(int index) => (int)U64(40) + index * U16(58);
        ushort U16(int at) => BinaryPrimitives.ReadUInt16LittleEndian(image.AsSpan(at));
        uint U32(int at) => BinaryPrimitives.ReadUInt32LittleEndian(image.AsSpan(at));
        ulong U64(int at) => BinaryPrimitives.ReadUInt64LittleEndian(image.AsSpan(at));
        string TextAt(int at) => Encoding.ASCII.GetString(image, at, image.AsSpan(at).IndexOf((byte)0));
    }

    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetEnvironment(string name, string value, int overwrite);
}
