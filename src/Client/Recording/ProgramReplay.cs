using Ndif.Protocol;
using Ndif.Protocol.Programs;

namespace Ndif.Recording;

/// <summary>A program whose regions are recorded again, into another program.</summary>
internal sealed partial class ProgramReplay
{
    private readonly Program _program;
    private readonly TensorData[] _constants; // one object each, so that a recorder adds a constant once however often it is used
    private readonly Dictionary<string, DefineModule> _modules;
    private readonly Dictionary<string, Layer> _layers = [];

    public ProgramReplay(Program program)
    {
        _program = program;
        _constants = [.. program.Constants.Select(TensorData.FromProto)];
        _modules = program.Nodes.Where(n => n.KindCase is Node.KindOneofCase.DefineModule)
            .ToDictionary(n => n.DefineModule.Path, n => n.DefineModule);
    }

    /// <summary>The modules that the program defines, without those that are layers of another one.</summary>
    public IEnumerable<DefineModule> Modules =>
        _modules.Values.Where(m => !_modules.Keys.Any(path => m.Path.StartsWith($"{path}.", StringComparison.Ordinal)));

    /// <summary>Records the nodes of a region into the region that is open.</summary>
    /// <param name="attachments">The user's modules, which the nodes may refer to.</param>
    public void Replay(uint region, Recorder recorder, Attachments attachments) =>
        new RegionReplay(this, recorder, attachments).ReplayNodes(region);

    /// <summary>Records the forward of a module that the program defines.</summary>
    public Value Call(DefineModule module, Value input)
    {
        Recorder into = Recorder.Current(input, $"The module `{module.Path}`");
        var replay = new RegionReplay(this, into, null);
        replay.ReplayNodes(module.Forward, input);
        return replay.RemapValue(module.Result);
    }

    /// <summary>The change of a module that a region records: it reads the module's output and input, and replaces the output.</summary>
    public ModuleAdapter ReadAdapter(uint region)
    {
        WriteSite write = _program.Regions[(int)region].Nodes.Select(node => _program.Nodes[(int)node].Write).OfType<WriteSite>().Single();
        return new ModuleAdapter(write.Site.Module, (input, output) =>
            new RegionReplay(this, Recorder.Current(input, "An adapter"), null).ReplayAdapter(region, input, output));
    }

    private Layer GetLayer(DefineModule module)
    {
        if (!_layers.TryGetValue(module.Path, out Layer? layer))
            _layers[module.Path] = layer = new ImportedModule(this, module).AsSubmodule();
        return layer;
    }
}
