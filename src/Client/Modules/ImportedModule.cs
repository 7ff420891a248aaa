using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>An attached module of a file of edits: its forward is the recorded one.</summary>
internal sealed class ImportedModule(ProgramReplay source, DefineModule module) : ModuleDefinition
{
    protected override string ClassName => module.ClassName;

    protected override Value Forward(Value input) => source.Call(module, input);

    /// <summary>The module as a layer of its parent.</summary>
    public Layer AsSubmodule() => Part(ModulePaths.Split(module.Path).Name, this);
}
