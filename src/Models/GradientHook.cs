using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace Ndif.Models;

/// <summary>
/// PyTorch's <c>Tensor.register_hook</c>, which TorchSharp 0.107 does not bind: a callback that receives the gradient of a tensor
/// during a backward pass and may replace it.
/// </summary>
/// <remarks>
/// Uses the C++ symbol that libtorch exports. Its argument is a <c>std::function</c> in the layout of libstdc++ (four words: two of
/// data, the manager that copies and destroys it, the invoker), so this works where libtorch is built with libstdc++. The function
/// holds a GC handle of the delegate; libtorch frees it with the graph.
/// </remarks>
internal sealed unsafe partial class GradientHook : IDisposable
{
    private static readonly Symbols? _symbols = Symbols.Find();

    private readonly Tensor _tensor;
    private readonly uint _id;

    private GradientHook(Tensor tensor, uint id) => (_tensor, _id) = (tensor, id);

    /// <summary>Whether libtorch exports the symbols.</summary>
    public static bool IsSupported => _symbols is not null;

    /// <summary>Identifies the tensor of a handle: two handles of one tensor have the same identity.</summary>
    public static nint Identity(Tensor tensor) => *(nint*)tensor.Handle;

    /// <summary>
    /// Calls <paramref name="hook"/> with the gradient at each backward pass, until this object is disposed or the graph is freed. The
    /// gradient is valid during the call. The hook returns a tensor of the same shape, which stays its own, to replace the gradient, or
    /// null to keep it.
    /// </summary>
    /// <param name="tensor">A tensor that requires a gradient. It must stay alive until this object is disposed.</param>
    /// <param name="hook">Must not throw: an exception would end the process.</param>
    public static GradientHook Register(Tensor tensor, Func<Tensor, Tensor?> hook)
    {
        Symbols symbols = _symbols
            ?? throw Errors.CreateException(Protocol.ErrorCode.Unsupported,
                "Gradients cannot be read one by one with this build of libtorch.",
            "It has to be a Linux build with libstdc++, such as the NuGet package's.");
        var function = new StdFunction
        {
            Data0 = GCHandle.ToIntPtr(GCHandle.Alloc(hook)),
            Manager = (nint)_manage,
            Invoker = (nint)_invoke,
        };
        uint id = symbols.Register(tensor.Handle, &function);
        // the caller destroys the function if libtorch did not move it out of the argument
        if (function.Manager != 0) _ = Manage(&function.Data0, &function.Data0, Operation.Destroy);
        return new GradientHook(tensor, id);
    }

    public void Dispose() => _symbols!.Remove(_tensor.Handle, _id);

    private static readonly delegate* unmanaged<nint*, nint*, nint, nint*> _invoke = &Invoke;

    private static readonly delegate* unmanaged<nint*, nint*, Operation, byte> _manage = &ManageNative;

    [UnmanagedCallersOnly]
    private static nint* Invoke(nint* result, nint* data, nint gradient)
    {
        *result = _symbols!.Undefined; // an undefined tensor keeps the gradient unchanged
        try
        {
            var hook = (Func<Tensor, Tensor?>)GCHandle.FromIntPtr(data[0]).Target!;
            using Tensor given = Tensor.UnsafeCreateTensor(Alias(gradient));
            if (hook(given) is not { } changed) return result;
            nint handle = Alias(changed.Handle);
            (*result, *(nint*)handle) = (*(nint*)handle, _symbols.Undefined); // move the reference out of the handle
            Delete(handle);
        }
        catch (Exception e)
        {
            Environment.FailFast("A gradient hook threw.", e);
        }
        return result;
    }

    [UnmanagedCallersOnly]
    private static byte ManageNative(nint* target, nint* source, Operation operation) => Manage(target, source, operation);

    private static byte Manage(nint* target, nint* source, Operation operation)
    {
        switch (operation)
        {
            case Operation.Pointer: *target = (nint)source; break;
            case Operation.Clone: *target = GCHandle.ToIntPtr(GCHandle.Alloc(GCHandle.FromIntPtr(*source).Target)); break;
            case Operation.Destroy: GCHandle.FromIntPtr(*target).Free(); break;
        }
        return 0;
    }

    /// <summary>libstdc++'s _Manager_operation.</summary>
    private enum Operation { TypeInfo, Pointer, Clone, Destroy }

    [StructLayout(LayoutKind.Sequential)]
    private struct StdFunction
    {
        public nint Data0, Data1, Manager, Invoker;
    }

    private sealed class Symbols
    {
        public required delegate* unmanaged<nint, StdFunction*, uint> Register { get; init; }

        public required delegate* unmanaged<nint, uint, void> Remove { get; init; }

        /// <summary>c10::UndefinedTensorImpl::_singleton</summary>
        public required nint Undefined { get; init; }

        public static Symbols? Find()
        {
            if (!OperatingSystem.IsLinux()) return null;
            using (ones(1)) { } // the first tensor loads libtorch
            if (!NativeLibrary.TryLoad("libtorch_cpu.so", out nint torch) || !NativeLibrary.TryLoad("libc10.so", out nint c10)) return null;
            return NativeLibrary.TryGetExport(torch, "_ZNK2at10TensorBase14_register_hookESt8functionIFS0_RKS0_EE", out nint register)
                && NativeLibrary.TryGetExport(torch, "_ZNK2at10TensorBase11remove_hookEj", out nint remove)
                && NativeLibrary.TryGetExport(c10, "_ZN3c1019UndefinedTensorImpl10_singletonE", out nint undefined)
                ? new Symbols
                {
                    Register = (delegate* unmanaged<nint, StdFunction*, uint>)register,
                    Remove = (delegate* unmanaged<nint, uint, void>)remove,
                    Undefined = undefined,
                }
                : null;
        }
    }

    [LibraryImport("LibTorchSharp", EntryPoint = "THSTensor_alias")]
    private static partial nint Alias(nint tensor);

    [LibraryImport("LibTorchSharp", EntryPoint = "THSTensor_dispose")]
    private static partial void Delete(nint tensor);
}
