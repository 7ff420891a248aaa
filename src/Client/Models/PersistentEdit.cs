using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>An edit that every trace of a model records for each of its prompts.</summary>
/// <param name="Record">Records the operations of the edit.</param>
/// <param name="Adapter">The module that the edit changes as a part of it; null for an edit of a user.</param>
internal sealed record PersistentEdit(Action Record, ModuleAdapter? Adapter = null);

/// <summary>A change of a module that belongs to the module: wherever the module runs, its output is changed.</summary>
/// <param name="Module">The path of the module.</param>
/// <param name="Compute">Records the changed output, given the module's input and output.</param>
internal sealed record ModuleAdapter(string Module, Func<Value, Value, Value> Compute)
{
    /// <summary>Whether the module is the one of a path, or inside it.</summary>
    public bool IsIn(string path) => path.Length == 0 || Module == path
        || (Module.StartsWith(path, StringComparison.Ordinal) && Module[path.Length] == '.');

    /// <summary>Records the change for a call of the module, or of one that contains it.</summary>
    public CallAdapter RecordForCall(Recorder recorder)
    {
        uint region = recorder.OpenRegion();
        try
        {
            Value input = recorder.RegionParameter("input"), output = recorder.RegionParameter("output");
            return new CallAdapter { Module = Module, Forward = region, Result = recorder.Argument(Compute(input, output)) };
        }
        finally
        {
            recorder.CloseRegion();
        }
    }
}
