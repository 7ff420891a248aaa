using System;
using System.Runtime.CompilerServices;
using Ndif.Models;

namespace Ndif;

/// <summary>
/// Compiled into every program that runs libtorch (Directory.Build.targets): makes the native library loadable before the
/// program's first line, which may well create a TorchSharp module before it names anything of ours.
/// </summary>
internal static class TorchStart
{
#pragma warning disable CA2255 // a program, not a library
    [ModuleInitializer]
    internal static void Load()
    {
        NativeTorch.Initialize();
        // a process of this program that computes one operation for another one (src/Engine/Kernels/Isolation/OperationHost.cs)
        if (Environment.GetEnvironmentVariable("NDIF_OPERATION_HOST") is null) return;
        Type.GetType("Ndif.Engine.Kernels.Isolation.OperationHost, Ndif.Engine")?
            .GetMethod("Run", System.Reflection.BindingFlags.Static | System.Reflection.BindingFlags.Public)!.Invoke(null, null);
    }
#pragma warning restore CA2255
}
