using System.Diagnostics;
using System.Reflection;
using Ndif.Engine.Kernels.Costs;
using Ndif.Engine.Running;
using Ndif.Protocol;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels.Isolation;

/// <summary>
/// Computes an operation in a process of its own: a factorization of a large matrix takes minutes and looks at no cancellation. The
/// process is a second one of this program (<see cref="OperationHost"/>). It is killed if the job is cancelled, or if it uses far more
/// memory than the operation should.
/// </summary>
internal static class IsolatedOperation
{
    /// <summary>The memory of a process with libtorch before it computes anything.</summary>
    private const long ProcessBytes = 768L << 20;

    private static readonly TimeSpan _poll = TimeSpan.FromMilliseconds(50);

    /// <summary>Whether this program can be started as a host: its first code is that of build/TorchStart.cs.</summary>
    public static bool IsAvailable { get; } = Environment.ProcessPath is not null
        && Assembly.GetEntryAssembly()?.GetType("Ndif.TorchStart") is not null;

    /// <summary>The bytes of the arguments in the other process.</summary>
    public static double ArgumentBytes(in OpArguments a)
    {
        double bytes = 0;
        for (int i = 0; i < a.Count; i++) bytes += ValueStream.BytesOf(a[i]);
        return bytes;
    }

    /// <exception cref="OperationCanceledException">The job was cancelled; the process has been killed.</exception>
    public static object? Run(in OpArguments a, OpCost cost, OperationLimits limits)
    {
        string op = a.Schema.Name;
        var bound = new object?[a.Count];
        for (int i = 0; i < bound.Length; i++) bound[i] = a[i];
        KernelContext context = a.Context;
        double expected = cost.Bytes + ArgumentBytes(a);
        using Process process = Process.Start(StartInfo())!;
        try
        {
            // the streams are used on another thread, so that this one sees a cancellation
            Task<object?> exchange = Task.Factory.StartNew(() => Exchange(process, op, bound, context), CancellationToken.None,
                TaskCreationOptions.LongRunning, TaskScheduler.Default);
            while (!Wait(exchange))
            {
                limits.BetweenParts();
                process.Refresh();
                if (!process.HasExited && process.WorkingSet64 > expected * 1.2 + ProcessBytes)
                    throw Errors.CreateException(ErrorCode.OutOfMemory,
                        $"{op}() used more than the {expected:N0} bytes that it should need.", "Use a smaller matrix.");
            }
            limits.ThrowIfCancelled();
            object? result = ToDevice(exchange.GetAwaiter().GetResult(), a.Context.Device);
            return a.Schema.InPlace && result is Tensor changed ? a.Tensor(0).copy_(changed) : result;
        }
        catch (IOException e)
        {
            limits.ThrowIfCancelled();
            throw Errors.CreateException(ErrorCode.OutOfMemory,
                $"The process that computed {op}() ended before it had a result, most likely because the machine has too little memory.",
                "Use a smaller matrix.", inner: e);
        }
        finally
        {
            if (!process.HasExited) process.Kill();
        }

        static bool Wait(Task task)
        {
            try
            {
                return task.Wait(_poll);
            }
            catch (AggregateException)
            {
                return true;
            }
        }
    }

    /// <summary>Sends the call and reads the result, whose tensors belong to no dispose scope.</summary>
    private static object? Exchange(Process process, string op, object?[] bound, KernelContext context)
    {
        using (var writer = new BinaryWriter(process.StandardInput.BaseStream, System.Text.Encoding.UTF8, leaveOpen: true))
        {
            writer.Write(op);
            writer.Write(get_num_threads());
            writer.Write((int)context.DefaultType);
            writer.Write(context.MaxListItems);
            ValueStream.Write(writer, bound);
        }
        using var reader = new BinaryReader(process.StandardOutput.BaseStream);
        using var scope = NewDisposeScope();
        if (reader.ReadBoolean())
            return TensorOwnership.MapTensors(ValueStream.Read(reader), tensor => tensor.DetachFromDisposeScope());
        throw Errors.ToException(Error.Parser.ParseFrom(reader.ReadBytes(reader.ReadInt32())));
    }

    /// <summary>Brings the result into the dispose scope of the caller, on its device.</summary>
    private static object? ToDevice(object? value, Device device)
    {
        using DisposeScope scope = NewDisposeScope();
        return TensorOwnership.MapTensors(value, tensor =>
        {
            scope.Attach(tensor);
            return (device.type == DeviceType.CPU ? tensor : tensor.to(device)).MoveToOuterDisposeScope();
        });
    }

    private static ProcessStartInfo StartInfo()
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!) { RedirectStandardInput = true, RedirectStandardOutput = true };
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath!) == "dotnet" && Assembly.GetEntryAssembly() is { } entry)
            start.ArgumentList.Add(entry.Location);
        start.Environment[OperationHost.Variable] = "1";
        return start;
    }
}
