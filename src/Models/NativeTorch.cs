using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Loader;
using System.Text;
using TorchSharp;

namespace Ndif.Models;

/// <summary>Loads TorchSharp's native library on every Linux that libtorch itself supports.</summary>
/// <remarks>
/// libLibTorchSharp.so 0.107 is linked with gcc 13 and requires GLIBCXX_3.4.32, which the libstdc++ of Debian 12 lacks. The only symbol
/// of that version is a marker without any relocation (<c>std::ios_base_library_init</c>): the code never calls it, and only the version
/// check of the loader fails. Where loading fails, this class loads a copy (2.4 MB, in a per-user cache) whose version requirement is
/// flagged weak, as the linker writes it for an optional symbol. The original is not changed, because in linked output folders it is a
/// file of the package cache.
/// The module initializer registers all of this. A process that uses TorchSharp before any type of this assembly calls
/// <see cref="Initialize"/> first.
/// </remarks>
public static partial class NativeTorch
{
    private const string Library = "LibTorchSharp";

    private const string MissingVersion = "GLIBCXX_3.4.32";

    private static readonly Lazy<nint> _library = new(Load);

#pragma warning disable CA2255 // callers cannot know that the native library needs this initialization
    /// <summary>Registers the resolver of the library and loads nothing yet. May be called repeatedly and from any thread.</summary>
    [ModuleInitializer]
    public static void Initialize()
    {
        if (Interlocked.Exchange(ref _initialized, 1) == 1) return;
        UsePassiveWaitPolicy();
        UseTransparentHugePages();
        // TorchSharp's own TryLoad uses the load context; P/Invokes (TorchSharp's and ours) use the resolver of the assembly.
        NativeLibrary.SetDllImportResolver(typeof(NativeTorch).Assembly, (name, _, _) => Resolve(name));
        try { NativeLibrary.SetDllImportResolver(typeof(torch).Assembly, (name, _, _) => Resolve(name)); }
        catch (InvalidOperationException) { } // the host has registered its own resolver
        AssemblyLoadContext.Default.ResolvingUnmanagedDll += (_, name) => Resolve(name);
    }
#pragma warning restore CA2255

    private static int _initialized;

    /// <summary>
    /// Loads the native library now, so that a program in which it is missing has an error that says what to add, instead of that of the
    /// first call of TorchSharp.
    /// </summary>
    /// <exception cref="NdifException">
    /// UNSUPPORTED: there is no libtorch. BAD_ARGUMENT: the folder in NDIF_LIBTORCH cannot be used.
    /// </exception>
    public static void EnsureLoaded() => _ = _library.Value;

    /// <summary>
    /// Makes waiting threads of libgomp sleep. Spinning on shared cores stalls every parallel operation for a scheduler quantum (3-4
    /// times slower decoding), and passive waiting costs a tenth on an idle machine. libgomp reads the variable when it is loaded, from
    /// the C environment, which .NET's Environment does not change.
    /// </summary>
    private static void UsePassiveWaitPolicy()
    {
        if (OperatingSystem.IsWindows() || Environment.GetEnvironmentVariable("OMP_WAIT_POLICY") is not null) return;
        _ = SetEnvironment("OMP_WAIT_POLICY", "passive", 0);
    }

    /// <summary>
    /// Makes libtorch allocate tensors of 2 MB and more in transparent huge pages, where the system permits it on request. It takes no
    /// more time and fragments the heap less: after eight passes of GPT-2 small over 512 tokens 0.94 GB are resident, without it 1.07
    /// to 1.57 GB. libtorch reads the variable at its first allocation (c10/core/impl/alloc_cpu.cpp).
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
        if (!Libtorch.TryLoadChosen() && !Preload(Path.GetDirectoryName(original)!)) throw Libtorch.NotFound();
        if (NativeLibrary.TryLoad(original, out nint handle)) return handle;
        if (PatchVersionRequirement(File.ReadAllBytes(original)) is not { } image) return 0; // loading fails for another reason
        return LoadCopy(original, image);
    }

    /// <summary>
    /// Loads libtorch's libraries, which may be in another folder than LibTorchSharp (packages, a copy in a cache). Once loaded they
    /// satisfy its dependencies by name.
    /// </summary>
    /// <returns>Whether libtorch is in one of the folders of the program, or the system's loader finds it.</returns>
    private static bool Preload(string folder)
    {
        bool isFound = false;
        foreach (string name in (string[])["libc10.so", "libtorch_cpu.so", "libtorch.so", "libc10_cuda.so", "libtorch_cuda.so"])
        {
            string? path = File.Exists(Path.Combine(folder, name)) ? Path.Combine(folder, name) : FindNativeLibrary(name);
            if (path is null) continue;
            isFound |= name == "libtorch_cpu.so";
            NativeLibrary.TryLoad(path, out _);
        }
        return isFound || NativeLibrary.TryLoad("libtorch_cpu.so", out _);
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
            // the home folder is read-only, as in containers
            catch (Exception e) when (e is IOException or UnauthorizedAccessException) { }
        }
        // A new folder that no other process can have prepared. A loaded file needs no name, so it is deleted again.
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

    /// <summary>
    /// Writes a file that several processes may write at the same time: each writes its own temporary file with the same content, and
    /// the last rename wins.
    /// </summary>
    private static void WriteAtomically(string path, byte[] bytes)
    {
        string temporary = $"{path}.{Guid.NewGuid():n}";
        File.WriteAllBytes(temporary, bytes);
        File.Move(temporary, path, overwrite: true);
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
