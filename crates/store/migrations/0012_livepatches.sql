-- A machine knows what it has loaded by the build-id of its module.
CREATE INDEX builds_module_build_id ON builds (manifest ->> '$.module.build_id')
    WHERE state = 'succeeded';
