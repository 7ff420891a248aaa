using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>An attached module that came with a file of edits: its forward is the recorded one.</summary>
internal sealed class ImportedModule(RecordedProgram source, DefineModule module) : ModuleDefinition
{
    protected override string ClassName => module.ClassName;

    protected override Value Forward(Value input) => source.Call(module, input);

    /// <summary>As a part of the module above it.</summary>
    public Layer AsSubmodule() => Part(module.Path[(module.Path.LastIndexOf('.') + 1)..], this);
}
