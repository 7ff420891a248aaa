using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>Records reads, writes and skips of a module or of an operation inside it, at the call of modules that is current.</summary>
/// <param name="operation">The path of the operation within the module; empty for the module itself.</param>
internal readonly struct SiteRecorder(Recorder recorder, string module, string operation = "")
{
    public Value Read(SiteKind kind) => recorder.Value(ReadNode(kind));

    public Inputs ReadInputs() => new(recorder, recorder.Add(ReadNode(SiteKind.Inputs)));

    public void Write(SiteKind kind, Value value) => recorder.Add(new Node
    {
        Write = new WriteSite { Site = Site(kind), Call = recorder.CurrentCall, Value = recorder.Argument(value) },
    });

    public void Skip(Value value) => recorder.Add(new Node
    {
        Skip = new SkipModule { Module = module, Operation = operation, Call = recorder.CurrentCall, Value = recorder.Argument(value) },
    });

    private Node ReadNode(SiteKind kind) => new() { Read = new ReadSite { Site = Site(kind), Call = recorder.CurrentCall } };

    private Site Site(SiteKind kind) => new() { Module = module, Kind = kind, Operation = operation };
}
