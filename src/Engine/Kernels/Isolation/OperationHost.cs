using System.Runtime.InteropServices;
using Google.Protobuf;
using Microsoft.Win32.SafeHandles;
using Ndif.Protocol;
using Ndif.Protocol.Ops;
using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Engine.Kernels.Isolation;

/// <summary>
/// The process that computes one operation for another process, which can kill it. build/TorchStart.cs calls <see cref="Run"/> before the
/// first line of a program that was started with the variable <see cref="Variable"/>.
/// </summary>
/// <remarks>
/// The call comes on standard input and the result goes to standard output. Standard input stays open as long as the other process lives:
/// its end ends this process.
/// </remarks>
internal static partial class OperationHost
{
    public const string Variable = "NDIF_OPERATION_HOST";

    /// <summary>Computes the call on standard input, and ends the process.</summary>
    public static void Run()
    {
        using Stream output = TakeStandardOutput();
        using Stream input = Console.OpenStandardInput();
        try
        {
            using var scope = NewDisposeScope();
            using var noGraph = no_grad();
            using var reader = new BinaryReader(input);
            using var writer = new BinaryWriter(output);
            string op = reader.ReadString();
            set_num_threads(reader.ReadInt32());
            // the memory of the call was checked; the limits of the job end this process
            var context = new KernelContext
            {
                DefaultType = (ScalarType)reader.ReadInt32(), MaxListItems = reader.ReadInt32(), MaxTensorBytes = long.MaxValue,
            };
            var bound = (object?[])ValueStream.Read(reader)!;
            EndWithOtherProcess(input);
            try
            {
                object? result = KernelTable.Run(OpTable.Get(op), bound, context);
                writer.Write(true);
                ValueStream.Write(writer, result);
            }
            catch (Exception e)
            {
                byte[] error = Errors.FromException(e).ToByteArray();
                writer.Write(false);
                writer.Write(error.Length);
                writer.Write(error);
            }
            writer.Flush();
        }
        catch (IOException)
        {
            // the other process has gone
        }
        Environment.Exit(0);
    }

    private static void EndWithOtherProcess(Stream input) => new Thread(() =>
    {
        try
        {
            while (input.ReadByte() >= 0) { }
        }
        catch (IOException) { }
        Environment.Exit(1);
    }) { IsBackground = true, Name = "operation host" }.Start();

    /// <summary>Standard output; what libraries print goes to standard error from now on.</summary>
    private static FileStream TakeStandardOutput()
    {
        int copy = Duplicate(1);
        _ = Duplicate(2, 1);
        return new FileStream(new SafeFileHandle(copy, ownsHandle: true), FileAccess.Write);
    }

    [LibraryImport("libc", EntryPoint = "dup")]
    private static partial int Duplicate(int descriptor);

    [LibraryImport("libc", EntryPoint = "dup2")]
    private static partial int Duplicate(int descriptor, int onto);
}
